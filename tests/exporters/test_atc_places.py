"""Folders and names that ATC refuses: known before any work, gone round where it can be, never handed to it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from neonext_ascend.artifacts.names import readable
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.cli.main import run
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters import compile_om, export_onnx
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.exporters.om_file.places import atc_path_problem, work_place
from neonext_ascend.machine.cann import find_cann
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from tests.jobs.test_bundling import carry_out, pack, unpack
from tests.standins.atc_contract import RefusedError, parse
from tests.standins.om_file import StandinOm
from tests.standins.toolkit import make_toolkit
from tests.support.om_commands import SOC, ask, export

ODD = {
    "blank": "my models",
    "plus": "a+b",
    "at": "a@b",
    "tilde": "~",
    "accent": "modèles",
    "kana": "モデル",
    "past the Chinese block": "\u9fa6",
    "before it": "\u4dff",
    "equals": "a=b",
    "quote": "it's",
    "comma": "a,b",
    "line break": "a\nb",
    "not UTF-8": "mod\udce8les",
}
FINE = {"Chinese": "模型一龥", "all signs": "A.b_c-9", "hidden": ".models"}


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of the system, of which nothing else is in use."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def says(model: Path, output: Path) -> str | None:
    """The code with which the stand-in atc refuses these paths."""
    try:
        parse([f"--model={model}", f"--output={output}", "--framework=5", f"--soc_version={SOC}"])
    except RefusedError as error:
        return error.code
    return None


@pytest.mark.parametrize("what", [*ODD, *FINE])
def test_atc_and_this_program_agree_on_a_path(what: str, tmp_path: Path) -> None:
    folder = tmp_path / (ODD | FINE)[what]
    folder.mkdir()
    (folder / "x.onnx").touch()
    problem = atc_path_problem(folder / "x.onnx")
    assert says(folder / "x.onnx", tmp_path / "x") == (None if problem is None else "E10001")
    assert says(folder / "x.onnx", folder / "x") == (None if problem is None else "E10001")
    assert (problem is None) == (what in FINE)
    if problem is not None:
        first = next(c for c in ODD[what] if not c.isascii() or not c.isalnum())
        assert f"takes no {first!r} in a path (E10001)" in problem


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "my models").mkdir()
    (tmp_path / "plain").symlink_to(tmp_path / "my models")
    (tmp_path / "good").mkdir()
    (tmp_path / "a link").symlink_to(tmp_path / "good")
    assert atc_path_problem(tmp_path / "plain" / "x") is not None
    assert atc_path_problem(tmp_path / "a link" / "x") is None


@pytest.mark.parametrize("what", [*ODD, *FINE])
def test_an_om_is_made_in_any_folder(
    what: str, card: None, outside: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / (ODD | FINE)[what]
    told, _, answer = export(capfd, folder, "neonext_nano", "--no-verify")
    assert str(told.parent) == readable(str(folder))
    om = folder / told.name
    assert manifest_of(om).artifact.files[0].bytes == om.stat().st_size > 0
    flags = answer["artifacts"][0]["compilation"]["flags"]
    assert flags[1] == ("--model=neonext_nano-96-b1-fp32.onnx" if what in FINE else "--model=model.onnx")
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".neonext")]
    assert list(outside.iterdir()) == []


def test_an_odd_name_of_the_network_and_external_data(card: None, tmp_path: Path) -> None:
    network = prepare(build(VARIANTS["neonext_nano"].config), defer=True)[0]
    artifact = export_onnx(network, tmp_path / "réseau.onnx", external_data_above=1000)
    assert len(artifact.files) == 2
    made = compile_om(
        artifact.files[0].path, tmp_path, "réseau", artifact.inputs[0], AtcOptions(find_soc(SOC)), find_cann(),
        log_folder=tmp_path,
    )  # fmt: skip
    assert made.path == tmp_path / "réseau.om"
    assert StandinOm.read(made.path).soc_version == SOC
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "réseau.om",
        "réseau.onnx",
        "réseau.onnx.data",
    ]


def test_no_place_at_all_is_told_before_any_work(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "te mp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "te mp"))
    wanted = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", str(tmp_path / "my models")]
    assert run(wanted) == 2
    err = capfd.readouterr().err
    assert "my models: atc takes no ' ' in a path (E10001)" in err
    assert "TMPDIR" in err
    assert not (tmp_path / "my models").exists()
    with pytest.raises(UsageError, match="TMPDIR"):
        work_place(tmp_path / "a+b")
    assert work_place(tmp_path / "good") == tmp_path / "good"


@pytest.mark.parametrize("what", [*ODD, *FINE])
def test_a_dry_run_prints_what_atc_takes_or_nothing(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / (ODD | FINE)[what]
    given: list[Any] = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "--dry-run", "-o", folder]
    if what in ODD:
        assert run([str(word) for word in given]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "(E10001)" in err
        assert "give -o another folder" in err
        return
    argv = ask(capfd, *given)["commands"][0]["argv"]
    folder.mkdir()
    Path(argv[2].partition("=")[2]).touch()
    parse(argv[1:])


def test_a_dry_run_into_a_link_names_the_real_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "a link").symlink_to(tmp_path / "good")
    given = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "--dry-run", "-o", tmp_path / "a link"]
    argv = ask(capfd, *given)["commands"][0]["argv"]
    assert argv[2] == f"--model={tmp_path / 'good' / 'neonext_nano-96-b1-fp32.onnx'}"


def test_a_bundle_works_where_its_folder_has_a_blank(tmp_path: Path) -> None:
    top = unpack(pack(tmp_path), tmp_path / "my bundles")
    assert "A-Z a-z 0-9 . _ -" in (top / "README.txt").read_text()
    done = carry_out(top, make_toolkit(tmp_path / "cann"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(p.suffix for p in (top / "out").iterdir()) == [".json", ".om"]


def test_a_chinese_folder_is_one_in_every_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under LC_ALL=C Python has surrogates for it."""
    name = "模型".encode().decode("ascii", "surrogateescape")
    assert os.fsencode(name).decode() == "模型"
    assert atc_path_problem(Path("/models") / name) is None
