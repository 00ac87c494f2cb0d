"""Names of files that are no UTF-8, and Chinese ones in a locale that is none: every command works with them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from neonext_ascend.artifacts.names import readable, utf8_alias, utf8_path
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.cli.main import run
from neonext_ascend.data import NANO_WEIGHTS, data_path, sample_pictures
from neonext_ascend.errors import FileAccessError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.exporters.onnx_file.constants import changed_constants
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.reporting.exports import bundle_lines, quoted
from neonext_ascend.runtimes.acl.runner import AclRunner
from neonext_ascend.runtimes.ort import OrtRunner
from tests.support.om_commands import ask, export

OLDER_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0"}
LATIN = os.fsdecode(b"mod\xe8les")
MIXED = os.fsdecode("模型 ".encode() + b"\xff")
ARTIFACT = "neonext_nano-96-b1-fp32.onnx"


def exported(folder: Path) -> Path:
    assert run(["export", "neonext_nano", "--no-verify", "-o", str(folder), "--json"]) == 0
    return folder / ARTIFACT


@pytest.mark.parametrize("name", [LATIN, MIXED], ids=["latin-1", "mixed"])
def test_every_command_works_in_a_folder_of_such_a_name(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    weights = shutil.copy(data_path(NANO_WEIGHTS), folder / f"{name}.safetensors")
    picture = shutil.copy(sample_pictures()[0], folder / f"{name}.png")
    shown = readable(str(folder))
    made = ask(capfd, "export", "neonext_nano", "--checkpoint", weights, "-o", folder)
    assert made["artifacts"][0]["path"] == f"{shown}/{ARTIFACT}"
    assert "\\x" in shown
    path = folder / ARTIFACT
    assert manifest_of(path).weights.file == readable(f"{name}.safetensors")
    metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert metadata["weights"] == readable(f"{name}.safetensors")
    assert ask(capfd, "verify", path, "--checkpoint", weights)["parity"]["passed"]
    assert ask(capfd, "verify", path, "--against", path)["parity"]["max_abs"] == 0
    (prediction,) = ask(capfd, "predict", path, folder)["predictions"]
    assert prediction["path"] == readable(str(picture))
    assert prediction["top"][0]["label"]
    assert ask(capfd, "inspect", path, "--soc-version", "Ascend310P3")["accepted"]
    (entry,) = ask(capfd, "benchmark", path, "--repeats", 6)["artifacts"]
    assert entry["path"] == f"{shown}/{ARTIFACT}"


def test_words_for_people_hold_no_raw_bytes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(tmp_path / LATIN / "x.onnx"), "x.png"]) == 5
    assert "mod\\xe8les/x.onnx: cannot read the model: No such file" in capfd.readouterr().err
    path = exported(tmp_path / LATIN)
    (tmp_path / LATIN / "a.png").write_text("text")
    capfd.readouterr()
    assert run(["predict", str(path), str(tmp_path / LATIN), "--jsonl"]) == 2
    out, err = capfd.readouterr()
    assert json.loads(out)["path"].endswith("mod\\xe8les/a.png")
    assert f"error: {readable(str(tmp_path))}/mod\\xe8les/a.png: not a picture" in err


def test_external_data_and_odd_names_of_files(tmp_path: Path) -> None:
    folder = tmp_path / LATIN
    network = prepare(build(VARIANTS["neonext_nano"].config), defer=True)[0]
    made = export_onnx(network, folder / "large.onnx", external_data_above=1000)
    plain = export_onnx(network, tmp_path / "large.onnx", external_data_above=1000)
    odd = (folder / "large.onnx").rename(folder / f"{LATIN}.onnx")
    feed = {"image": sample_input()}
    point = next(iter(made.points))
    want = OrtRunner(plain.files[0].path, extra_outputs=[point]).infer(feed)
    for further in ([], [point]):
        got = OrtRunner(odd, extra_outputs=further).infer(feed)
        for name, values in got.items():
            assert (values == want[name]).all()
    (folder / "large.onnx.data").unlink()
    with pytest.raises(FileAccessError, match="external data"):
        OrtRunner(odd)


def test_external_constants_in_such_a_folder_are_compared(tmp_path: Path) -> None:
    network = prepare(build(VARIANTS["neonext_nano"].config), defer=True)[0]
    made = export_onnx(network, tmp_path / LATIN / "large.onnx", external_data_above=1000)
    path, data = (file.path for file in made.files)
    manifest = replace(manifest_of(exported(tmp_path / "plain")), checksums=made.checksums)
    assert changed_constants(path, manifest) == ()
    data.write_bytes(bytes(4) + data.read_bytes()[4:])
    assert len(changed_constants(path, manifest)) == 1


def sample_input() -> Any:
    import numpy as np

    return np.random.default_rng(0).standard_normal((1, 3, 96, 96), np.float32)


def test_an_om_of_such_a_name_opens(card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    om, _, _ = export(capfd, tmp_path / "good", "neonext_nano", "--no-verify")
    odd = tmp_path / LATIN
    (tmp_path / "good").rename(odd)
    with AclRunner(odd / om.name) as runner:
        assert runner.outputs[0].name == "logits"


@pytest.mark.parametrize("name", ["模型", "modèles"])
def test_a_locale_that_is_not_utf8(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(sample_pictures()[0], folder / f"{name}.png")
    commands = [
        ["export", "neonext_nano", "-o", name, "--json"],
        ["predict", f"{name}/{ARTIFACT}", name, "--json"],
        ["predict", f"{name}/{ARTIFACT}", name],
    ]
    answers = [command(tmp_path, words) for words in commands]
    assert json.loads(answers[0])["artifacts"][0]["path"] == str(folder / ARTIFACT)
    assert json.loads(answers[1])["predictions"][0]["path"] == str(folder / f"{name}.png")
    assert f"{name}/{name}.png" in answers[2]
    assert manifest_of(folder / ARTIFACT).command[4] == name


def command(folder: Path, words: list[str], code: int = 0) -> str:
    """Its standard output in the older locale, or for an error its words."""
    done = subprocess.run(
        [sys.executable, "-m", "neonext_ascend", *words], cwd=folder, env={**os.environ, **OLDER_LOCALE},
        capture_output=True, encoding="utf-8", timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_a_name_that_the_locale_cannot_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'name = "réseau"\ndefinition = "release"\ndepths = [1, 1, 1, 1]\nwidths = [8, 8, 12, 16]\n'
        "cells = [[4, 7], [4, 7], [7], [5, 3]]\nshifts = [true, true, true, false]\nnum_classes = 4\nimage_size = 96\n",
        encoding="utf-8",
    )
    said = command(tmp_path, ["export", "--config", "own.toml", "-o", "out"], code=2)
    assert said.startswith("error: ")
    assert "LC_ALL=C.UTF-8" in said
    assert not (tmp_path / "out").exists()


def test_bytes_in_names() -> None:
    assert readable("模型") == "模型"
    assert readable(LATIN) == "mod\\xe8les"
    assert readable("模".encode().decode("ascii", "surrogateescape")) == "模"
    assert readable("\ud800") == "\ud800"
    assert utf8_path(Path("模型")) == "模型"
    assert utf8_path(Path(LATIN)) is None


def test_an_alias_reads_the_file_and_is_given_back(tmp_path: Path) -> None:
    (tmp_path / LATIN).write_bytes(b"here")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with utf8_alias(tmp_path / LATIN) as alias:
        assert alias.isascii()
        assert Path(alias).read_bytes() == b"here"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("folder", ["-dash", "--json", "a b", "-a 'b'"])
def test_the_command_that_is_told_next_works_for_any_folder(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", "neonext_nano", "--no-verify", f"--output={folder}"]) == 0
    (line,) = (
        line for line in capfd.readouterr().out.splitlines() if line.strip().startswith("neonext-ascend predict")
    )
    _, *words = shlex.split(line.replace("PICTURE", str(sample_pictures()[0])))
    assert run(words) == 0


@pytest.mark.parametrize(
    ("path", "told"), [("-x/a.om", "./-x/a.om"), ("--help", "./--help"), ("a-b", "a-b"), ("./-", "./-")]
)
def test_a_path_that_begins_like_an_option_is_told_as_a_path(path: str, told: str) -> None:
    assert quoted(path) == told
    assert bundle_lines(Path(path), 1, "-top")[-1].endswith("&& python3 ./-top/run.py")
