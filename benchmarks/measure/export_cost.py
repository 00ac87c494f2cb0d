"""Memory and time of an export, against PyTorch's own exporter on the same network.

    python -m benchmarks.measure.export_cost [--models neonext_t neonext_b] [--repeats N] [--threads N] [--quick]
        [--json FILE]

Each export runs in a process of its own, ours and torch's in turns (:mod:`.export_once` says what counts).
Times are medians, memory is the largest seen. This process imports nothing large: Linux lets a child's peak start at
its parent's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure.export_once import EXPORTERS, Cost
from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.timing import Spread, ratios
from benchmarks.outcome import Bound, conclude, parser_for, positive
from neonext_ascend.errors import UsageError
from neonext_ascend.models.variants import find_variant

OURS, TORCH = EXPORTERS
REPEATS = 3
MOST_MEMORY = 2.5  # peak above the imports over the weights' bytes, the network included
LEAST_SPEED_UP = 5.0  # torch's time over ours, without building the network
BYTES_IN_A_MB = 1e6


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("export_cost", __doc__)
    parser.add_argument("--models", type=_model, nargs="+", default=["neonext_t", "neonext_b"])
    parser.add_argument("--repeats", type=positive, help=f"exports of each kind; {REPEATS}, and 1 with --quick")
    parser.add_argument("--threads", type=positive, help="of PyTorch, for both; by default its own choice")
    options = parser.parse_args()
    repeats = options.repeats or (1 if options.quick else REPEATS)
    machine = describe_machine()
    threads = "PyTorch's choice of threads" if options.threads is None else f"{options.threads} thread(s)"
    print(machine_text(machine), f"\n{repeats} exports of each kind, {threads}", sep="")
    models, bounds = {}, []
    for model in options.models:
        costs = _measure(model, repeats, options.threads)
        models[model] = figures = _figures(costs)
        _print_table(model, figures)
        memory, speed_up = figures[OURS]["memory"], figures["speed_up"]["export"]["median"]
        bounds.append(Bound(f"{model}, peak memory over weights", memory, "at most", MOST_MEMORY))
        bounds.append(Bound(f"{model}, torch's time over ours", speed_up, "at least", LEAST_SPEED_UP))
    figures = {"quick": options.quick, "repeats": repeats, "threads": options.threads, "models": models}
    return conclude("export_cost", machine, figures, bounds, options.json)


def _model(name: str) -> str:
    try:
        return find_variant(name).config.name
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _measure(model: str, repeats: int, threads: int | None) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {exporter: [] for exporter in EXPORTERS}
    for _ in range(repeats):
        for exporter, found in costs.items():
            found.append(_in_a_child(exporter, model, threads))
    return costs


def _in_a_child(exporter: str, model: str, threads: int | None) -> Cost:
    command = [sys.executable, "-m", "benchmarks.measure.export_once", exporter, model]
    environment = {**os.environ} if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} failed with {done.returncode}:\n{done.stderr}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _figures(costs: dict[str, list[Cost]]) -> dict[str, Any]:
    """Seconds, bytes and their ratios."""
    figures: dict[str, Any] = {}
    for exporter, found in costs.items():
        largest = max(found, key=lambda cost: cost.memory)
        figures[exporter] = {
            "imported_bytes": largest.imported,
            "peak_bytes": largest.peak,
            "weights_bytes": largest.weights,
            "memory": largest.memory,
            "build_seconds": _spread([cost.build for cost in found]),
            "export_seconds": _spread([cost.export for cost in found]),
            "whole_seconds": _spread([cost.whole for cost in found]),
            "processor_seconds": _spread([cost.processor for cost in found]),
        }
    ours, torch = costs[OURS], costs[TORCH]
    figures["speed_up"] = {
        "export": asdict(ratios([cost.export for cost in torch], [cost.export for cost in ours])),
        "whole": asdict(ratios([cost.whole for cost in torch], [cost.whole for cost in ours])),
        "processor": asdict(ratios([cost.processor for cost in torch], [cost.processor for cost in ours])),
    }
    return figures


def _spread(values: Sequence[float]) -> dict[str, float]:
    return asdict(Spread.of(values))


def _print_table(model: str, figures: dict[str, Any]) -> None:
    weights = figures[OURS]["weights_bytes"] / BYTES_IN_A_MB
    print(f"\n{model}: weights {weights:.1f} MB")
    print(_row("", "imports MB", "peak MB", "over weights", "build s", "export s", "both s", "CPU s"))
    for exporter in EXPORTERS:
        found = figures[exporter]
        memory = [f"{found[key] / BYTES_IN_A_MB:.1f}" for key in ("imported_bytes", "peak_bytes")]
        times = [f"{found[f'{step}_seconds']['median']:.2f}" for step in ("build", "export", "whole", "processor")]
        print(_row(exporter, *memory, f"{found['memory']:.2f}", *times))
    export, whole, processor = (Spread(**figures["speed_up"][step]) for step in ("export", "whole", "processor"))
    print(f"  torch's time over ours (quartiles): export {export}; with building {whole}; CPU time {processor}")


def _row(name: str, *cells: str) -> str:
    return f"  {name:<8}" + "".join(f"{cell:>14}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
