"""Damaged files of every kind: an exit status with one line of words; never a traceback, a hang or a full memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.mutate import KINDS

# Those of eval and debug read little beside an artifact that is whole.
CASES = {**dict.fromkeys(KINDS, 200), **dict.fromkeys(("labels", "journal", "dump"), 60)}
SECONDS_A_CASE = 10
MEMORY_KB = 2 * 2**20
ALLOWED = {0, 1, 2, 3, 5}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_ends_in_words(kind: str, tmp_path: Path) -> None:
    # One process for all cases: what kills a native library is seen from outside, and memory is measured for itself.
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.mutate", kind, str(CASES[kind]), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    case = (tmp_path / "case").read_text() if (tmp_path / "case").exists() else "none"
    again = f"python -m tests.support.mutate {kind} 1 FOLDER"
    assert process.returncode == 0, f"ended at case {case} ({again} {case}):\n{process.stderr[-3000:]}"
    done = json.loads(process.stdout.splitlines()[-1])
    results = done["results"]
    counts = Counter(f"{result['command']} {result['code']}" for result in results)
    print(f"{kind}: {dict(sorted(counts.items()))}; {done['peak_kb'] // 1024} MB")
    for result in results:
        where = f"{again} {result['case']}: {result}"
        errors = [line for line in result["err"].splitlines() if line.startswith("error: ")]
        assert result["code"] in ALLOWED, where
        assert "Traceback" not in result["err"], where
        assert "Warning" not in result["err"], where
        if result["command"] == "eval" and result["code"] and not errors:
            # A picture that is not there is a warning, and the status.
            assert "warning: " in result["err"], where
        elif result["command"] == "debug" and result["code"] == 1:
            assert not errors, where  # the graph that shows the fault is what was asked for
        else:
            assert len(errors) == (1 if result["code"] else 0), where
            assert not (result["code"] and result["left"]), where
        assert result["seconds"] <= SECONDS_A_CASE, where
    assert done["peak_kb"] <= MEMORY_KB
    # The damage is neither so great that nothing is read nor so small that nothing is noticed.
    assert {0, 2} <= {result["code"] for result in results}
