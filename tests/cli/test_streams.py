"""Standard streams as services leave them: closed, full, or with a reader that has gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.data import sample_pictures
from tests.cli.test_odd_names import OLDER_LOCALE, exported

PICTURE = str(sample_pictures()[0])
COMMANDS = {
    "help": ["--help"],
    "a command's help": ["export", "--help"],
    "version": ["--version"],
    "list": ["list"],
    "doctor": ["doctor"],
    "inspect": ["inspect", "A", "--soc-version", "Ascend310P3"],
    "predict": ["predict", "A", PICTURE],
    "predict json": ["predict", "A", PICTURE, "--json"],
    "verify": ["verify", "A"],
    "benchmark": ["benchmark", "A", "--repeats", "6"],
    "a model's cost": ["inspect", "neonext_nano", "--soc-version", "Ascend310P3", "--layout", "nchw"],
    "a mistake": ["export", "neonext_tt"],
    "no command": ["exprot"],
}
WORKING = ("help", "list", "doctor", "inspect", "predict", "predict json")
MISTAKES = ("a mistake", "no command")


def shell(folder: Path, arguments: list[str], redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of this program in a shell, in ``folder``."""
    words = [sys.executable, "-W", "error::ResourceWarning", "-m", "neonext_ascend", *arguments]
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *words],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("artifact"))


def given(name: str, artifact: Path) -> list[str]:
    return [str(artifact) if word == "A" else word for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_stream_closed_changes_no_status(name: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, given(name, artifact), "<&- >&- 2>&-")
    assert done.returncode == (2 if name in MISTAKES else 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["list", "predict", "inspect", "a mistake"])
def test_one_stream_closed_leaves_the_others(name: str, artifact: Path, tmp_path: Path) -> None:
    whole = shell(tmp_path, given(name, artifact), "")
    assert whole.returncode == (2 if name in MISTAKES else 0)
    for closed in ("<&-", ">&-", "2>&-"):
        done = shell(tmp_path, given(name, artifact), closed)
        assert done.returncode == whole.returncode, closed
        assert done.stdout == ("" if closed == ">&-" else whole.stdout), closed
        assert done.stderr == ("" if closed == "2>&-" else whole.stderr), closed


def test_an_export_with_its_streams_closed_is_whole(tmp_path: Path) -> None:
    """Else a file of the export would get the number of standard error, and what libraries mutter would go into it."""
    assert shell(tmp_path, ["export", "neonext_nano", "-o", "out"], "<&- >&- 2>&-").returncode == 0
    (path,) = (tmp_path / "out").glob("*.onnx")
    assert sha256_of(path) == manifest_of(path).artifact.files[0].sha256
    assert shell(tmp_path, ["verify", str(path)], "").returncode == 0


@pytest.mark.parametrize(
    "name", ["help", "a command's help", "version", "list", "doctor", "inspect", "predict", "predict json"]
)
def test_a_full_disk_behind_standard_output_is_told(name: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, given(name, artifact), "> /dev/full")
    assert done.returncode == 5
    assert done.stderr == "error: standard output: cannot write to it: No space left on device\n"


@pytest.mark.parametrize("name", ["list", "predict", "a mistake"])
def test_words_beside_the_result_may_get_lost(name: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, given(name, artifact), "2> /dev/full")
    assert done.returncode == (2 if name in MISTAKES else 0)
    assert bool(done.stdout) == (name not in MISTAKES)


@pytest.mark.parametrize("name", ["help", "list", "doctor", "predict", "predict json", "verify"])
def test_a_reader_that_has_seen_enough_is_no_error(name: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, given(name, artifact), "| head -c 1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, len(done.stdout)) == (0, 1)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    gone = shell(tmp_path, given(name, artifact), "| true; exit ${PIPESTATUS[0]}")
    assert gone.returncode == 0
    assert "Exception" not in gone.stderr


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<&-", "standard input is closed; expected a picture"),
        ("< /dev/null", "is empty; expected a picture; copy it again"),
        ("0> /dev/null", "cannot read the picture: "),
    ],
)
def test_a_picture_from_a_stream_that_gives_none(source: str, words: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, ["predict", str(artifact), "-"], source)
    assert done.returncode == 5
    assert done.stderr.startswith(f"error: -: {words}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["list", "predict json"])
def test_an_older_locale_without_streams(name: str, artifact: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, given(name, artifact), "2>&-", **OLDER_LOCALE)
    assert done.returncode == 0
    if name == "predict json":
        assert len(json.loads(done.stdout)["predictions"]) == 1
