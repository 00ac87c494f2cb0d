"""Times of an OM's operators on the device, by the vendor's profiler msprof, where it is there.

``msprof [options] <app>`` and ``--output``, and ``op_summary_*.csv`` below the folder that it makes there, are those of
the vendor's page *General Profiling Command* (CANN 8.5 and 9.0, ``atlasprofiling_16_1166`` and ``_0010``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROFILE, RUNS_ALONE = "--profile", "--runs-alone"
SUMMARY = "op_summary.csv"
_SECONDS = 600


def profile(folder: Path) -> dict[str, Any]:
    """Run the bundle's OM under msprof and keep the table of its operators in ``folder``.

    Whatever goes wrong is told in what comes back: the comparison of numbers stands without it.
    """
    program = shutil.which("msprof")
    if program is None:
        return {"failed": "msprof is not on the PATH; source CANN's set_env.sh"}
    try:
        with tempfile.TemporaryDirectory(prefix="msprof-", ignore_cleanup_errors=True) as work:
            command = [program, f"--output={work}", sys.executable, str(folder / "run.py"), RUNS_ALONE]
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
            )
            tables = sorted(Path(work).rglob("op_summary_*.csv"), key=lambda path: path.stat().st_size)
            if not tables:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                said = f": {last[0]}" if last else ""
                return {"failed": f"msprof ended with status {done.returncode} and left no op_summary_*.csv{said}"}
            shutil.copyfile(tables[-1], folder / SUMMARY)
    except subprocess.TimeoutExpired:
        return {"failed": f"msprof did not end within {_SECONDS} s"}
    except OSError as error:
        return {"failed": f"{error.filename}: {error.strerror}"}
    return {"summary": SUMMARY}
