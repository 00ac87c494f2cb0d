"""What serving adds to the runner alone: latency of one client, throughput of many; by hand, on a quiet machine.

    python -m benchmarks.measure.serving [ARTIFACT] [--rounds 5] [--requests 1000] [--clients 64] [--threads 1]

Five rounds in turns: the runner at batch 1 in this process, one client on a raw socket, many clients, and the runner at
the best gear. Printed are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.device.opening import SIZES
from tests.serving.endurance import Run, request_of
from tests.support.serving import serving


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", nargs="?", type=Path, help="with a free batch; neonext_nano where there is none")
    for name, default in (("rounds", 5), ("requests", 1000), ("clients", 64), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.artifact or jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
        with open_runner(path, threads=asked.threads) as runner:
            spec = runner.inputs[0]
            shape = tuple(int(n) for n in spec.shape[1:])
            rows = np.random.RandomState(1).standard_normal((max(SIZES), *shape)).astype(np.float32)

            def run(batch: int) -> Callable[[], object]:
                return lambda: runner.infer({spec.name: rows[:batch]})

            seconds = {size: min(_timed(run(size), 5)) for size in SIZES}
            best = max(SIZES, key=lambda size: size / seconds[size])
            want = np.concatenate([runner.infer({spec.name: row[None]})[runner.outputs[0].name] for row in rows[:16]])
            figures: dict[str, list[float]] = {}
            with serving(f"nano={path}", threads=asked.threads) as up:
                requests = [request_of(row) for row in rows[:16]]
                for _ in range(asked.rounds):
                    alone = _timed(run(1), asked.requests)
                    one, _ = _load(Run(up.port, asked.requests, requests, want.astype(np.float64)), 1)
                    _, many = _load(Run(up.port, asked.requests, requests, want.astype(np.float64)), asked.clients)
                    most = best / median(_timed(run(best), max(5, asked.requests // best)))
                    for part in (50, 99):
                        added = np.percentile(one, part) - np.percentile(alone, part)
                        figures.setdefault(f"added_p{part}_ms", []).append(1e3 * float(added))
                    figures.setdefault("throughput", []).append(many)
                    figures.setdefault("throughput_over_runner", []).append(many / most)
    print(json.dumps({"best_gear": best, **{name: median(values) for name, values in figures.items()}}, indent=1))
    return 0


def _timed(action: Callable[[], object], count: int) -> list[float]:
    found = []
    for _ in range(count):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return found


def _load(run: Run, clients: int) -> tuple[list[float], float]:
    """Seconds of each request, and requests a second."""

    async def go() -> None:
        await asyncio.gather(*(run.client() for _ in range(clients)))

    start, count = time.perf_counter(), run.left
    asyncio.run(go())
    if run.answers.keys() != {"right"}:
        raise SystemExit(f"not measured: {dict(run.answers)}")
    return run.seconds, count / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
