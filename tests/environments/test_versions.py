"""The declared range is the tested range, and the check of the versions can fail."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.environments import versions
from tests.environments.environment import ROOT, CannotRun, Environment
from tests.environments.versions import HERE, PYTHONS, TORCHES, Version, declared, find_python, kept, main

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_what_is_declared_is_what_is_tested() -> None:
    (torch,) = (line for line in PROJECT["dependencies"] if line.startswith("torch>"))
    major, minor, _ = TORCHES[-1].split(".")
    assert torch == f"torch>={TORCHES[0]},<{major}.{int(minor) + 1}"
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.", line)]
    assert tuple(named) == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert {version.torch for version in declared()} == set(TORCHES)
    assert {version.python for version in declared()} == {HERE, *PYTHONS}
    assert "make versions TORCH=2.8.0" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was installed, in environments of which only the folder is real."""
    names: list[str] = []

    class Unreal(Environment):
        def __init__(self, folder: Path, **_: object) -> None:
            self.folder = folder
            folder.mkdir(parents=True, exist_ok=True)

        def install(self, *packages: str, dependencies: bool = True) -> None:
            if "torch==2.7.1" in packages:
                raise CannotRun("pip cannot install torch==2.7.1: no network")
            names.append(packages[0])

    monkeypatch.setattr(versions, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(versions, "Environment", Unreal)
    monkeypatch.setattr(versions, "PYTHONS", (HERE,))
    monkeypatch.setattr(versions, "run_tests", lambda environment: "torch-2.13.0" not in str(environment.folder))
    return names


def test_an_environment_is_kept_if_it_is_whole_and_of_the_same_packages(
    installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Version("2.8.0", HERE)
    first = kept(version)
    (first.folder / "mark").touch()
    assert (kept(version).folder / "mark").exists()
    assert installed == ["torch==2.8.0"]
    (first.folder / "complete").unlink()
    assert not (kept(version).folder / "mark").exists()
    monkeypatch.setattr(versions, "requirements", lambda: ["another"])
    kept(version)
    assert installed == ["torch==2.8.0"] * 3


def test_a_failure_is_a_failure(installed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2.8.0"]) == 0
    assert main(["2.8.0", "2.13.0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r" +[\d.]+ s$", "", line) for line in lines] == [
        f"versions: torch 2.8.0, Python {HERE}: ok",
        f"versions: torch 2.8.0, Python {HERE}: ok",
        f"versions: torch 2.13.0, Python {HERE}: FAILED",
    ]


@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 1)])
def test_what_cannot_be_installed_says_why_in_one_line(
    installed: list[str],
    required: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEONEXT_REQUIRE_VERSIONS", required)
    assert main(["2.7.1"]) == status
    why = "pip cannot install torch==2.7.1: no network"
    assert capsys.readouterr().out == f"versions: torch 2.7.1, Python {HERE}: skipped: {why}\n"


def test_a_version_that_is_none_and_a_python_that_is_not_here() -> None:
    with pytest.raises(SystemExit, match=r"no torch 2\.6: one or more of 2\.7\.1, 2\.8\.0"):
        main(["2.6"])
    assert find_python(HERE) == sys.executable
    with pytest.raises(CannotRun, match=r"there is no Python 3\.99 here"):
        find_python("3.99")
