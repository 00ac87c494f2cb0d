"""Overflow and underflow planted at random nodes of NeoNeXt-T at full size, each to be found and named in both ways.

Not part of ``make test``: ``python -m tests.precision.sweep [NODES]`` prints each miss, and how long a check took.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

from neonext_ascend.exporters import export_onnx
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.passes import prepare
from neonext_ascend.precision.halved import halved
from neonext_ascend.runtimes.steps import Steps
from tests.support.injection import PLANTED, largest_values, plant


def main(count: int = 60) -> int:
    """The number of misses."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.onnx"
        network = build(VARIANTS["neonext_t"].config, 0)
        redraw_at_order_one(network, 0)
        export_onnx(prepare(network)[0], path)
        names, _ = _model(path)
        chosen = random.Random(0).sample(names, count)
        start = time.monotonic()
        reports = halved(Steps(path), _feed())
        print(f"T without a fault, both ways of overflowing: {time.monotonic() - start:.1f} s", flush=True)
        misses = [f"a sound network raises {alarm}" for report in reports for alarm in report.alarms]
        start = time.monotonic()
        with ProcessPoolExecutor(2) as pool:
            found = list(pool.map(_check, [(path, name, up) for name in chosen for up in (True, False)]))
    misses += [miss for part, _ in found for miss in part]
    took = [seconds for _, seconds in found]
    for miss in misses:
        print(f"MISSED {miss}")
    print(
        f"{count} of {len(names)} nodes, overflow and underflow, both ways: {len(misses)} missed in "
        f"{time.monotonic() - start:.0f} s; one check {median(took):.1f} s in the middle, {max(took):.1f} s at most"
    )
    return len(misses)


@cache
def _model(path: Path) -> tuple[list[str], dict[str, float]]:
    """Nodes with a floating result, and the largest magnitude of each."""
    largest = largest_values(onnx.load(str(path)), _feed())
    return [name for name, value in largest.items() if value > 0], largest


def _feed() -> dict[str, NDArray[np.float32]]:
    return {"image": np.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype(np.float32)}


def _check(case: tuple[Path, str, bool]) -> tuple[list[str], float]:
    """What was missed at one node, and the seconds that both ways took."""
    path, name, up = case
    model = plant(onnx.load(str(path)), name, _model(path)[1][name], up)
    start, misses = time.monotonic(), []
    for report in halved(Steps(model), _feed()):
        told = [(alarm.node, alarm.kind) for alarm in report.alarms]
        if told != [(PLANTED, "overflow" if up else "underflow")]:
            misses.append(f"{'over' if up else 'under'}flow at {name} ({report.overflow}): {told}")
    return misses, time.monotonic() - start


if __name__ == "__main__":
    sys.exit(min(main(*map(int, sys.argv[1:])), 1))
