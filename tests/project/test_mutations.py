"""Damaged files of every kind: an exit status with one line of words; never a traceback, a hang or a full memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.readers import READERS, wrong

# Those of eval and debug read little beside an artifact that is whole.
CASES = {**dict.fromkeys(READERS, 100), **dict.fromkeys(("labels", "journal", "dump", "external"), 60)}
MEMORY_KB = 2 * 2**20


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_ends_in_words(kind: str, tmp_path: Path) -> None:
    # One process for all cases: what kills a native library is seen from outside, and memory is measured for itself.
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.readers", kind, str(CASES[kind]), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    case = (tmp_path / "case").read_text() if (tmp_path / "case").exists() else "none"
    again = f"python -m tests.support.readers {kind} 1 FOLDER"
    assert process.returncode == 0, f"ended at case {case} ({again} {case}):\n{process.stderr[-3000:]}"
    done = json.loads(process.stdout.splitlines()[-1])
    results = done["results"]
    counts = Counter(f"{result['command']} {result['code']}" for result in results)
    print(f"{kind}: {dict(sorted(counts.items()))}; {done['peak_kb'] // 1024} MB")
    for result in results:
        assert wrong(result) is None, f"{wrong(result)}: {again} {result['case']}: {result}"
    assert done["peak_kb"] <= MEMORY_KB
    # The damage is neither so great that nothing is read nor so small that nothing is noticed.
    assert {0, 2} <= {result["code"] for result in results}
