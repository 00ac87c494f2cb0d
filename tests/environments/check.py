"""``python -m tests.environments.check``: this project beside the real torch_npu and the real onnxruntime-cann.

No CANN is there: ONNX files are made and verified all the same, and what is missing is said. Each package gets a new
virtual environment, which is gone afterwards. Where the packages cannot be installed it says why and counts as
passed, or as failed with ``NEONEXT_REQUIRE_ENVIRONMENTS=1``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from neonext_ascend.machine.cann import find_cann
from tests.environments import npu, ort_cann
from tests.environments.environment import CannotRun, Environment

ENVIRONMENTS = {"torch_npu": npu, "onnxruntime-cann": ort_cann}


def main() -> int:
    """Exit status: 0 all held or nothing could run; 1 something did not hold, or nothing could run and had to."""
    skipped = False
    with tempfile.TemporaryDirectory(prefix="neonext-environments-") as scratch:
        for name, what in ENVIRONMENTS.items():
            try:
                _need_no_cann()
                environment = Environment(Path(scratch) / name)
                _step(f"{name}: install", partial(what.make, environment))
            except CannotRun as reason:
                print(f"environments: {name}: skipped: {reason}", flush=True)
                skipped = True
                continue
            for step, check in what.steps(environment).items():
                _step(f"{name}: {step}", check)
    return int(skipped and os.environ.get("NEONEXT_REQUIRE_ENVIRONMENTS") == "1")


def _need_no_cann() -> None:
    cann = find_cann()
    if cann.toolkit is not None or cann.devices:
        raise CannotRun("this machine has CANN or an NPU; these checks are about their absence")


def _step(name: str, work: Callable[[], object]) -> None:
    start = time.monotonic()
    work()
    print(f"environments: {name:60} ok {time.monotonic() - start:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
