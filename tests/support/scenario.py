"""A scenario of :mod:`tests.support.kill`, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import ROOT


def scenario(name: str, count: int, folder: Path) -> dict[str, Any]:
    """What it found."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.kill", name, str(count), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result
