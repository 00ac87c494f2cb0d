"""Every file of the corpus through its reader: our error or success; and what fuzzing does with what is neither."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests import fuzz
from tests.support.readers import READERS, SECONDS_A_CASE, wrong


@pytest.mark.parametrize("reader", READERS)
def test_every_file_of_the_corpus_ends_as_a_file_may(reader: str, tmp_path: Path) -> None:
    done = fuzz.fuzz(reader, 0, 0, tmp_path)
    assert done["faults"] == []
    names = [file.name for file in fuzz.corpus_of(reader)]
    assert done["cases"] == len(names)
    whole = sum(name.startswith("whole") for name in names)
    assert 1 <= whole <= len(names) - 7  # the rest is damaged, and most of that is refused
    assert sum(count for kind, count in done["counts"].items() if kind[-1] in "25") >= 7


def test_the_corpus_stays_small() -> None:
    assert sum(file.stat().st_size for file in fuzz.CORPUS.rglob("*") if file.is_file()) < 700_000


GOOD: dict[str, Any] = {"command": "predict", "code": 2, "seconds": 0.1, "err": "error: x\n", "left": [], "more": []}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"code": 0, "err": "note: x\n", "left": ["a.onnx"]}, None),
        ({"command": "eval", "code": 5, "err": "warning: a.png: truncated\n"}, None),
        ({"command": "debug", "code": 1, "err": "", "left": ["subgraph.onnx"]}, None),
        ({"code": 70}, "status 70"),
        ({"code": 139}, "status 139"),
        ({"err": "Traceback (most recent call last)\nerror: x\n"}, "traceback"),
        ({"err": "a.py:1: UserWarning: x\nerror: x\n"}, "warning of Python's"),
        ({"seconds": SECONDS_A_CASE + 1}, "took 11 s"),
        ({"err": ""}, "0 errors"),
        ({"err": "error: x\nerror: y\n"}, "2 errors"),
        ({"code": 0}, "1 errors with status 0"),
        ({"command": "eval", "err": ""}, "no word"),
        ({"command": "inspect", "code": 1}, "an error beside an answer"),
        ({"left": ["a.onnx"]}, "left a.onnx behind"),
        ({"code": 0, "err": "", "more": [".neonext-staging-x"]}, "left .neonext-staging-x behind"),
    ],
)
def test_what_must_never_happen_is_seen(change: dict[str, Any], words: str | None) -> None:
    said = wrong({**GOOD, **change})
    assert said is None if words is None else words in (said or "")


def test_what_ends_badly_or_ends_the_process_becomes_a_file_of_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[bool] = []

    def dying(_reader: str, _seconds: float, _seed: int, folder: Path, walk: bool) -> CompletedProcess[str]:
        walks.append(walk)
        (folder / "found-1.jpg").write_bytes(b"slow")
        told = json.dumps({"fault": "took 11 s", "file": "found-1.jpg"})
        (folder / "tiny.jpg").write_bytes(b"deadly")
        (folder / "current").write_text("tiny.jpg")
        end = json.dumps({"cases": 3, "counts": {"predict 2": 3}})
        return CompletedProcess([], -11 if walk else 0, told if walk else end, "Segmentation fault")

    monkeypatch.setattr(fuzz, "_child", dying)
    done = fuzz.fuzz("picture", 0.1, 0, tmp_path)
    assert walks == [True, False]  # what ended the process is not met again
    assert done["faults"][0].startswith("picture/found-1.jpg: ")
    assert "the process ended with -11: Segmentation fault" in done["faults"][1]
    assert sorted(file.read_bytes() for file in (tmp_path / "picture").iterdir()) == [b"deadly", b"slow"]
    assert done["cases"] == 3
