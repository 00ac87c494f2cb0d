"""``python -m tests.environments.check [NAME...]``: beside torch_npu, onnxruntime-cann, timm and Triton's client.

Asked for by name, as ``make clusters`` does: KServe's packages and a Ray cluster, which take minutes.

No CANN is there: ONNX files are made and verified all the same, and what is missing is said. Each package gets a new
virtual environment, which is gone afterwards; torch_npu's lies over one that ``make versions`` keeps. Where packages
cannot be installed it says why and counts as passed, or as failed with ``NEONEXT_REQUIRE_ENVIRONMENTS=1``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from neonext_ascend.machine.cann import find_cann
from tests.environments import kserve_client, named_in_timm, npu, ort_cann, ray_cluster, triton_client
from tests.environments.environment import CannotRun

Result = TypeVar("Result")
ENVIRONMENTS = {
    **{f"torch_npu {pair.torch_npu}": (pair.make, pair.steps) for pair in npu.PAIRS},
    "onnxruntime-cann": (ort_cann.make, ort_cann.steps),
    "timm": (named_in_timm.make, named_in_timm.steps),
    "tritonclient": (triton_client.make, triton_client.steps),
    "kserve": (kserve_client.make, kserve_client.steps),
    "ray": (ray_cluster.make, ray_cluster.steps),
}
CLUSTERS = ("kserve", "ray")


def main(asked: list[str]) -> int:
    """Exit status: 0 all held or nothing could run; 1 something did not hold, or nothing could run and had to."""
    skipped = False
    with tempfile.TemporaryDirectory(prefix="neonext-environments-") as scratch:
        for name, (make, steps) in ENVIRONMENTS.items():
            if (name not in asked) if asked else (name in CLUSTERS):
                continue
            try:
                if name != "timm":
                    _need_no_cann()
                environment = _step(f"{name}: install", partial(make, Path(scratch) / name.replace(" ", "-")))
            except CannotRun as reason:
                print(f"environments: {name}: skipped: {reason}", flush=True)
                skipped = True
                continue
            for step, check in steps(environment).items():
                _step(f"{name}: {step}", check)
    return int(skipped and os.environ.get("NEONEXT_REQUIRE_ENVIRONMENTS") == "1")


def _need_no_cann() -> None:
    cann = find_cann()
    if cann.toolkit is not None or cann.devices:
        raise CannotRun("this machine has CANN or an NPU; these checks are about their absence")


def _step(name: str, work: Callable[[], Result]) -> Result:
    start = time.monotonic()
    result = work()
    print(f"environments: {name:60} ok {time.monotonic() - start:6.1f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
