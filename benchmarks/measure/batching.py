"""What batching brings: gears, mean batch, throughput and p99 under open loops; by hand, on a quiet machine.

    python -m benchmarks.measure.batching [--seconds 10] [--clients 64] [--max-delay-ms 3] [--threads 1]

The same network with a free batch, and at batch 1 with batching off: first flooded, which tells what each can,
then at shares of what batching can. The bound is max-delay, two batches of the best gear, and 10 ms. ``waiting`` is the
same on a stand-in that takes as long and none of this machine's processor, as an NPU does: what is late there is the
server's own doing, and not that of the network that is computed beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.device.opening import SIZES
from neonext_ascend.timing.latency import warm_up
from tests.support.serving import Served, serving, started

SHARES = (0.25, 0.5, 0.75)
_GEAR = re.compile(r'^neonext_gear_total\{gear="(\d+)",model="nano",version="1"\} (\S+)$', re.MULTILINE)
_ROWS = re.compile(r'^neonext_batch_rows_(?:sum|count)\{model="nano",version="1"\} (\S+)$', re.MULTILINE)


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--max-delay-ms", type=float, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        free = jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
        one = jobs.export("neonext_nano", output=folder).onnx.path
        gears = Gears(_alone(free, asked.threads), free=True)
        milliseconds = 1e3 * gears.seconds[gears.best]
        bound = asked.max_delay_ms + 2 * milliseconds + 10
        told: dict[str, Any] = {"best_gear": gears.best, "its_ms": milliseconds, "bound_ms": bound}
        delay = ("--max-delay-ms", asked.max_delay_ms)
        with (
            serving(f"nano={free}", *delay, threads=asked.threads) as batching,
            serving(f"nano={one}", threads=asked.threads) as off,
        ):
            told["batching"], told["off"] = _loads(batching, asked, bound), _flooded(off, asked)
        with started(["tests.standins.waiting", f"nano={free}", str(asked.max_delay_ms)]) as waiting:
            told["waiting"] = _loads(waiting, asked, bound)
    print(json.dumps(told, indent=1))
    return 0


def _alone(path: Path, threads: int) -> dict[int, float]:
    """Seconds of each batch without a server."""
    with open_runner(path, threads=threads) as runner:
        spec = runner.inputs[0]
        rows = np.random.RandomState(0).standard_normal((max(SIZES), *(int(n) for n in spec.shape[1:])))
        feeds = {size: {spec.name: rows[:size].astype(spec.dtype)} for size in SIZES}
        return {size: min(warm_up(partial(runner.infer, feed), time.perf_counter)) for size, feed in feeds.items()}


def _loads(up: Served, asked: argparse.Namespace, bound: float) -> dict[str, Any]:
    flooded = _flooded(up, asked)
    shares = {f"{share:g} of that": _open(up, share * flooded, asked, bound) for share in SHARES}
    return {"flooded_per_second": flooded, **shares}


def _flooded(up: Served, asked: argparse.Namespace) -> float:
    result = jobs.benchmark_servers([f"http://127.0.0.1:{up.port}"], clients=asked.clients, seconds=asked.seconds)
    return float(result.to_json()["servers"][0]["answers_per_second"])


def _open(up: Served, rate: float, asked: argparse.Namespace, bound: float) -> dict[str, Any]:
    """One rate: what was answered, how late, and in which batches."""
    gears, (rows, batches) = _counts(up)
    result = jobs.benchmark_servers(
        [f"http://127.0.0.1:{up.port}"], rate=rate, clients=asked.clients, seconds=asked.seconds
    )
    (entry,) = result.to_json()["servers"]
    more, (all_rows, all_batches) = _counts(up)
    return {
        "asked_per_second": entry["asked_per_second"],
        "answers_per_second": entry["answers_per_second"],
        "p50_ms": entry["latency_ms"]["p50"],
        "p99_ms": entry["latency_ms"]["p99"],
        "within_bound": entry["latency_ms"]["p99"] <= bound,
        "errors": entry["errors"],
        "mean_batch": (all_rows - rows) / (all_batches - batches),
        "gears": dict(sorted((more - gears).items())),
    }


def _counts(up: Served) -> tuple[Counter[int], tuple[float, float]]:
    """Batches by gear; rows and batches in all."""
    page = up.ask("GET", "/metrics").body.decode()
    count, total = (float(number) for number in _ROWS.findall(page))
    return Counter({int(gear): int(float(number)) for gear, number in _GEAR.findall(page)}), (total, count)


if __name__ == "__main__":
    sys.exit(main())
