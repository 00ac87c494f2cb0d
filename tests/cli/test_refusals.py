"""Every bad input of the table: one clear line, the right exit status, no traceback, nothing left behind."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.cli.main import COMMANDS, cli, run
from tests.support.refusal_case import Refusal
from tests.support.refusals import SECTIONS
from tools.write_error_page import PAGE, error_page

CASES = [case for cases in SECTIONS.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=[case.given for case in CASES])
def test_a_mistake_gets_one_clear_line_and_leaves_nothing(
    case: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [str(argument) for argument in case.arguments(tmp_path)]
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    code = run(given)
    out, err = capfd.readouterr()
    assert case.says in err
    assert code == case.code
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("    ", "warning: "))]
    assert [line[:7] for line in lines] == ["error: "]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_page_of_errors_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == error_page()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_says_its_exit_statuses(name: str) -> None:
    assert "Exit status: 0" in " ".join(CliRunner().invoke(cli, [name, "--help"]).output.split())


# The limit is for the command alone: what measures the tests writes its own file when Python ends.
FULL = """
import resource, sys
from neonext_ascend.cli.main import run
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
code = run(["export", "neonext_nano", "--no-verify", "-o", sys.argv[1]])
resource.setrlimit(resource.RLIMIT_FSIZE, before)
sys.exit(code)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 5
    assert done.stderr == f"error: {tmp_path / 'out'}: writing failed: File too large; nothing was left behind\n"
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300_000


def test_a_folder_that_is_removed_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def removing(*args: object, **kwargs: object) -> object:
        shutil.rmtree(tmp_path / "out")
        return Manifest(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("neonext_ascend.jobs.making.onnx_file.Manifest", removing)
    assert run(["export", "neonext_nano", "-o", str(tmp_path / "out")]) == 5
    assert capfd.readouterr().err.count("error: ") == 1
    assert not (tmp_path / "out").exists()
