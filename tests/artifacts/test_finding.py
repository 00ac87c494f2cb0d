"""Manifests and external data found through links, in the ways that people link files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from neonext_ascend import jobs
from neonext_ascend.artifacts.finding import beside, manifest_beside, names_of
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError, FileAccessError

STEM = "neonext_nano-96-b1-fp32"
NAME = f"{STEM}.onnx"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    assert run(["export", "neonext_nano", "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def run7(exported: Path, tmp_path: Path) -> Path:
    """A run's folder with the file and its manifest."""
    (tmp_path / "run7").mkdir()
    for suffix in (".onnx", ".json"):
        shutil.copy(exported / (STEM + suffix), tmp_path / "run7")
    return tmp_path / "run7"


def link(name: Path, target: str) -> Path:
    name.parent.mkdir(parents=True, exist_ok=True)
    name.symlink_to(target)
    return name


def one(run7: Path) -> Path:
    return link(run7.parent / "latest.onnx", f"run7/{NAME}")


def absolute(run7: Path) -> Path:
    return link(run7.parent / "latest.onnx", str(run7 / NAME))


def several(run7: Path) -> Path:
    link(run7.parent / "a" / "b.onnx", f"../run7/{NAME}")
    return link(run7.parent / "c.onnx", "a/b.onnx")


def folder(run7: Path) -> Path:
    return link(run7.parent / "latest", "run7") / NAME


def link_into_a_linked_folder(run7: Path) -> Path:
    link(run7.parent / "best", "run7")
    return link(run7.parent / "there" / "latest.onnx", f"../best/{NAME}")


def hub_cache(run7: Path) -> Path:
    """snapshots/HASH/NAME -> ../../blobs/SHA, and the manifest likewise, under a name of its own."""
    blobs, snapshot = run7.parent / "hub" / "blobs", run7.parent / "hub" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    for suffix, digest in ((".onnx", "aa11"), (".json", "bb22")):
        shutil.move(run7 / f"{STEM}{suffix}", blobs / digest)
        link(snapshot / f"{STEM}{suffix}", f"../../blobs/{digest}")
    return snapshot / NAME


def into_a_hub_cache(run7: Path) -> Path:
    return link(run7.parent / "latest.onnx", str(hub_cache(run7)))


LINKS = [one, absolute, several, folder, link_into_a_linked_folder, hub_cache, into_a_hub_cache]


@pytest.mark.parametrize("make", LINKS)
def test_every_command_finds_the_manifest(
    run7: Path, make: Callable[[Path], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    name = make(run7)
    with jobs.predict(name, sample_pictures()[7]) as answers:
        assert answers.recipe.assumed is None
        assert next(answers).top[0].label == "7"
    assert run(["verify", str(name), "--json"]) == 0
    told = capfd.readouterr()
    assert "warning" not in told.err
    assert json.loads(told.out)["parity"]["passed"] is True
    assert manifest_of(name).network["name"] == "neonext_nano"


def test_the_manifest_beside_the_name_given_comes_first(run7: Path) -> None:
    name = one(run7)
    (name.parent / "latest.json").write_text("{}")
    assert manifest_beside(name) == name.parent / "latest.json"
    with pytest.raises(ArtifactError, match=r"latest\.json: not a manifest"):
        jobs.predict(name, sample_pictures()[7])


@pytest.mark.parametrize(("target", "words"), [("gone.json", "No such file"), ("latest.json", "symbolic links")])
def test_a_manifest_that_is_a_link_to_nowhere_is_not_taken_for_none(run7: Path, target: str, words: str) -> None:
    name = one(run7)
    link(name.parent / "latest.json", target)
    with pytest.raises(FileAccessError, match=words):
        jobs.predict(name, sample_pictures()[7])


@pytest.mark.parametrize("command", ["predict", "verify", "benchmark", "inspect"])
@pytest.mark.parametrize("suffix", [".onnx", ".om"])
@pytest.mark.parametrize("target", ["gone", "latest"])
def test_an_artifact_that_is_a_link_to_nowhere_is_refused(
    tmp_path: Path, command: str, suffix: str, target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = link(tmp_path / f"latest{suffix}", target + suffix)
    more = {"predict": [str(sample_pictures()[0])], "inspect": ["--soc-version", "Ascend310P3"]}
    assert run([command, str(name), *more.get(command, [])]) == 5
    assert capfd.readouterr().err.startswith(f"error: {name}: ")


def test_names_end_with_a_circle(tmp_path: Path) -> None:
    link(tmp_path / "a", "b")
    link(tmp_path / "b", "a")
    assert set(names_of(tmp_path / "a")) == {tmp_path / "a", tmp_path / "b"}
    assert manifest_beside(tmp_path / "a") is None
    assert beside(tmp_path / "a", "other") == tmp_path / "other"


@pytest.mark.parametrize("make", [one, several, hub_cache, into_a_hub_cache])
def test_external_data_are_found_as_well(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    from neonext_ascend.checkpoints.loading import load
    from neonext_ascend.exporters import export_onnx
    from neonext_ascend.passes import prepare

    run7 = tmp_path / "run7"
    run7.mkdir()
    (run7 / f"{STEM}.json").touch()
    export_onnx(prepare(load("neonext_nano").network)[0], run7 / NAME, external_data_above=1000)
    data = run7 / f"{NAME}.data"
    assert data.exists()
    name = make(run7)
    manifest_beside(name).unlink()  # type: ignore[union-attr] # it is there
    if not (run7 / NAME).exists():  # into the cache with them, as everything there
        shutil.move(data, tmp_path / "hub" / "blobs" / "cc33")
        link(tmp_path / "hub" / "snapshots" / "abc" / f"{NAME}.data", "../../blobs/cc33")
    with jobs.predict(name, sample_pictures()[7]) as answers:
        assert next(answers).top
