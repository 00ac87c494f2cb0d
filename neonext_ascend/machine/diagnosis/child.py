"""A line of Python in a process of its own: a library that breaks, breaks nothing here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

SECONDS = 120


def run_python(code: str, environ: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it worked, and the last line of its output or of its error."""
    # A torch_npu without CANN breaks a plain `import torch` unless torch is told not to load it.
    quiet = {**environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "ORT_DISABLE_TELEMETRY": "1"}
    # -P: else Python would take a torch.py of the current folder for the library.
    command: Sequence[str] = (sys.executable, "-P", "-W", "ignore", "-c", code)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=quiet, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {SECONDS} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1][:200] if lines else f"ended with status {done.returncode}"
