"""One NeoCell of each stage of NeoNeXt-T in every lowering and layout, in ONNX Runtime on the CPU, one thread.

    python -m benchmarks.measure.neocell [--batches 1 8] [--quick] [--json FILE]

Against the paper's equation 1 as torch exports it, and against the 7x7 depthwise convolution that NeoCell stands for.
Input and output stay in place. Each form is checked against PyTorch before it is timed. The machine's GEMM peak and
copy bandwidth are measured in the same run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure.cell_file import from_layout, in_layout, work, write_cell, write_depthwise
from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.ort_run import Call, InPlace, check
from benchmarks.measure.peaks import bandwidth, copy, gemm_peak, gemms
from benchmarks.measure.timing import Spread, interleaved, ratios
from benchmarks.outcome import Bound, conclude, parser_for, positive
from benchmarks.rivals.patchwise import Patchwise
from benchmarks.rivals.torch_exporter import export_with_torch
from neonext_ascend.kernels.lowerings import legal
from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from neonext_ascend.spec import LAYOUTS

CONFIG = find_variant("neonext_t").config
PATCHWISE, DEPTHWISE, KERNEL = "patchwise, equation 1", "depthwise 7x7", 7
BLOCKDIAG, CHNW = "blockdiag, nchw", "blockdiag, chnw"
# Least speed-up over equation 1, by form, batch and stages (1 to 4).
LEAST_SPEED_UP = {(BLOCKDIAG, 1): ((1, 2, 3), 7.0), (CHNW, 8): ((3, 4), 10.0)}
REPEATS, QUICK_REPEATS = {1: 60, 8: 30}, 3
PEAK_REPEATS = 10
COPY = "copy"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to compute a NeoCell, as a call.

    Args:
        run: the timed call.
        macs: multiplications in one call, zeros included.
        nbytes: of input, output and constants.
    """

    run: InPlace
    macs: int
    nbytes: int


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("neocell", __doc__)
    parser.add_argument("--batches", type=positive, nargs="+", default=list(REPEATS))
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    peaks = _peaks(QUICK_REPEATS if options.quick else PEAK_REPEATS)
    print(f"GEMM peak {peaks['gemm'] / 1e9:.1f} GMAC/s, copy {peaks['bandwidth'] / 1e9:.1f} GB/s")
    rows: list[dict[str, Any]] = []
    for batch in options.batches:
        for stage in range(STAGES):
            few = QUICK_REPEATS if options.quick else REPEATS.get(batch, min(REPEATS.values()))
            found = measure(stage, batch, few, peaks)
            rows += found
            for row in found:
                text = f"{batch:3} stage {row['stage']}  {row['form']:<24}{row['seconds']['median'] * 1e3:9.3f} ms"
                print(f"{text}  {Spread(**row['speed_up'])} times equation 1's speed")
    figures = {"quick": options.quick, "peaks": peaks, "cells": rows}
    return conclude("neocell", machine, figures, bounds_of(rows), options.json)


def bounds_of(rows: list[dict[str, Any]]) -> list[Bound]:
    """The speed-ups that are asked for."""
    bounds = []
    for row in rows:
        stages, least = LEAST_SPEED_UP.get((row["form"], row["batch"]), ((), 0.0))
        if row["stage"] in stages:
            what = f"{row['form']} over {PATCHWISE}, speed, stage {row['stage']}, batch {row['batch']}"
            bounds.append(Bound(what, row["speed_up"]["median"], "at least", least))
    return bounds


def measure(stage: int, batch: int, repeats: int, peaks: Mapping[str, float]) -> list[dict[str, Any]]:
    """A row for each form in this stage (0 to 3)."""
    channels, size = CONFIG.widths[stage], CONFIG.stage_sizes()[stage]
    with tempfile.TemporaryDirectory() as folder:
        forms = checked_forms(stage, batch, Path(folder))
        seconds = interleaved({name: form.run for name, form in forms.items()}, repeats)
    rows = []
    for name, form in forms.items():
        spread = Spread.of(seconds[name])
        row = {"batch": batch, "stage": stage + 1, "channels": channels, "size": size[0], "form": name}
        row |= {"repeats": repeats, "seconds": asdict(spread), "macs": form.macs, "bytes": form.nbytes}
        row |= {"of_gemm_peak": form.macs / spread.median / peaks["gemm"]}
        row |= {"of_bandwidth": form.nbytes / spread.median / peaks["bandwidth"]}
        row |= {"speed_up": asdict(ratios(seconds[PATCHWISE], seconds[name]))}
        rows.append({**row, "over_depthwise": asdict(ratios(seconds[name], seconds[DEPTHWISE]))})
    return rows


def checked_forms(stage: int, batch: int, folder: Path) -> dict[str, Form]:
    """Every form by name, checked."""
    geometry, (height, width) = CONFIG.geometry(stage), CONFIG.stage_sizes()[stage]
    cell = NeoCell(geometry).eval()
    redraw_at_order_one(cell)
    shape = (batch, geometry.channels, height, width)
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = cell(torch.from_numpy(x)).numpy()
    forms = {}
    for layout in LAYOUTS:
        feed = in_layout(x, layout)
        for lowering, lowered in legal(geometry, height, width, layout).items():
            name = f"{lowering}, {layout}"
            path = folder / f"{lowering}-{layout}.onnx"
            write_cell(cell, lowered, feed.shape, path)
            forms[name] = Form(InPlace(path, feed, 1), *work(lowered, feed.shape))
            check(name, from_layout(forms[name].run(), layout, shape), expected)
    path = folder / "patchwise.onnx"
    export_with_torch(Patchwise(cell).eval(), torch.from_numpy(x), path)
    # Whole patches hold all useful products and no zeros, but for the padding of shifted ones.
    forms[PATCHWISE] = Form(InPlace(path, x, 1), *work(legal(geometry, height, width)["patchwise"], shape))
    check(PATCHWISE, forms[PATCHWISE].run(), expected)
    path = folder / "depthwise.onnx"
    write_depthwise(geometry.channels, KERNEL, shape, path)
    weights = geometry.channels * KERNEL**2
    forms[DEPTHWISE] = Form(InPlace(path, x, 1), x.size * KERNEL**2, 4 * (2 * x.size + weights))
    return forms


def _peaks(repeats: int) -> dict[str, float]:
    """GEMM peak in multiply-accumulates a second and copy bandwidth in bytes a second, one thread."""
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Call] = {**gemms(Path(folder), 1), COPY: copy()}
        seconds = interleaved(runs, repeats)
    return {"gemm": gemm_peak(seconds), "bandwidth": bandwidth(seconds[COPY])}


if __name__ == "__main__":
    sys.exit(main())
