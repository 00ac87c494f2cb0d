"""NeoNeXt-T against ConvNeXt-T, and one NeoCell against its other forms, in ONNX Runtime on the CPU.

    python -m benchmarks.inference [--batches 1 8] [--repeats N] [--threads 1] [--json FILE]

All weights are of order 1. NeoNeXt-T and the NeoCell are checked against PyTorch, and all forms of one computation
against each other, before anything is timed. Ratios are medians of pairwise ratios with their quartiles; the bounds
are for one thread.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.convnext import FORMS, export_convnext_t
from benchmarks.machine import describe_machine, machine_text
from benchmarks.neocell_forms import BLOCK_DIAGONAL, DEPTHWISE, export_forms, stage_cell
from benchmarks.outcome import Bound, conclude, positive
from benchmarks.timing import Spread, interleaved, ratios
from neonext_ascend.exporters.to_onnx import export_onnx
from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.ort import OrtRunner

CONFIG = find_variant("neonext_t").config
NEONEXT = "NeoNeXt-T"
# The forms of ConvNeXt-T that the bounds are held against: what torch exports, and the same helped to fuse its GELU;
# and the largest ratio by batch. The third form is printed all the same: no exporter gives it.
RIVALS, LARGEST_RATIO = ("as exported", "GELU fused"), {1: 0.95, 8: 0.90}
# Two right programs differ by rounding alone.
TOLERANCE = 1e-4
CELL_REPEATS = 5  # one NeoCell is short: so many times the repeats of a network

Array = NDArray[np.float32]
Figures = dict[str, Any]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.inference", description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=positive, default=20, help="samples of each network")
    parser.add_argument("--threads", type=positive, default=1, help="of ONNX Runtime")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one JSON document")
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine), f"\n{options.repeats} repeats, {options.threads} thread(s)", sep="")
    networks, bounds = {}, []
    for batch in options.batches:
        networks[str(batch)] = measured = _networks(batch, options.repeats, options.threads)
        _print_table(f"{NEONEXT} at batch {batch}", NEONEXT, measured)
        if options.threads == 1 and batch in LARGEST_RATIO:
            for rival in RIVALS:
                ratio = measured[rival]["ratio"]["median"]
                what = f"{NEONEXT} over ConvNeXt-T ({rival}), batch {batch}"
                bounds.append(Bound(what, ratio, "at most", LARGEST_RATIO[batch]))
    cells = {}
    for stage in range(STAGES):
        cells[str(stage + 1)] = measured = _cells(stage, CELL_REPEATS * options.repeats, options.threads)
        size = "x".join(map(str, CONFIG.stage_sizes()[stage]))
        title = f"one NeoCell, stage {stage + 1}: {CONFIG.widths[stage]} channels, {size}, batch 1"
        _print_table(title, BLOCK_DIAGONAL, measured)
    settings = {"repeats": options.repeats, "threads": options.threads}
    figures = {"settings": settings, "networks_by_batch": networks, "neocell_by_stage": cells}
    return conclude("inference", machine, figures, bounds, options.json)


def _networks(batch: int, repeats: int, threads: int) -> Figures:
    """NeoNeXt-T and each form of ConvNeXt-T at this batch."""
    image = np.random.default_rng(0).standard_normal((batch, 3, *CONFIG.image_size), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        paths = {NEONEXT: Path(folder) / "neonext_t.onnx"}
        network = build(CONFIG)
        redraw_at_order_one(network)
        export_onnx(prepare(network, defer=True)[0], paths[NEONEXT], batch_size=batch)
        for number, (name, form) in enumerate(FORMS.items()):
            paths[name] = Path(folder) / f"convnext_t-{number}.onnx"
            export_convnext_t(paths[name], form, batch)
        with torch.inference_mode():
            expected = {NEONEXT: network(torch.from_numpy(image)).numpy()}
        return _compare(paths, image, NEONEXT, [[NEONEXT], [*FORMS]], expected, repeats, threads)


def _cells(stage: int, repeats: int, threads: int) -> Figures:
    """The forms of one NeoCell and the depthwise convolution in this stage (0 to 3)."""
    cell, example = stage_cell(CONFIG, stage)
    with tempfile.TemporaryDirectory() as folder:
        paths = export_forms(cell, example, Path(folder))
        with torch.inference_mode():
            expected = {BLOCK_DIAGONAL: cell(example).numpy()}
        same = [form for form in paths if form != DEPTHWISE]
        return _compare(paths, example.numpy(), BLOCK_DIAGONAL, [same], expected, repeats, threads)


def _compare(
    paths: Mapping[str, Path],
    feed: Array,
    ours: str,
    same: Sequence[Sequence[str]],
    expected: Mapping[str, Array],
    repeats: int,
    threads: int,
) -> Figures:
    """Times of all files, and ours over each other.

    Args:
        paths: the files by name.
        feed: their one input.
        ours: the file whose ratios are taken.
        same: names whose outputs must agree.
        expected: outputs known from elsewhere.
        repeats: samples of each file.
        threads: of ONNX Runtime.
    """
    with ExitStack() as stack:
        runs: dict[str, Callable[[], Array]] = {}
        for name, path in paths.items():
            runner = stack.enter_context(OrtRunner(path, threads=threads))
            runs[name] = partial(_run, runner, feed)
        for group in same:
            reference = expected.get(group[0], runs[group[0]]())
            for name in group:
                _check(name, runs[name](), reference)
        seconds = interleaved(runs, repeats)
    figures: Figures = {}
    for name, samples in seconds.items():
        figures[name] = {"seconds": asdict(Spread.of(samples))}
        if name != ours:
            figures[name]["ratio"] = asdict(ratios(seconds[ours], samples))
    return figures


def _run(runner: OrtRunner, feed: Array) -> Array:
    output: Any = runner.infer_impl({runner.inputs[0].name: feed})[runner.outputs[0].name]
    result: Array = output
    return result


def _check(name: str, output: Array, reference: Array) -> None:
    error = float(np.abs(output - reference).max() / np.abs(reference).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"{name}: differs by {error:.1e} of its largest value; nothing is timed on wrong numbers")


def _print_table(title: str, ours: str, figures: Figures) -> None:
    print(f"\n{title:<58}{'ms':>10}   {ours} over it (quartiles)")
    for name, figure in figures.items():
        ratio = Spread(**figure["ratio"]) if "ratio" in figure else ""
        print(f"  {name:<56}{figure['seconds']['median'] * 1e3:>10.3f}   {ratio}")


if __name__ == "__main__":
    sys.exit(main())
