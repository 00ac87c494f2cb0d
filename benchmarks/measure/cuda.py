"""NeoCell on a GPU: the fused kernel against everything else that computes it, and against what it stands for.

    python -m benchmarks.measure.cuda [--quick] [--json FILE]

The stages of NeoNeXt-T at batch 128, fp16 and bf16, forward alone and with the backward pass. The copy of the same maps
(read once, written once) is the most that any of them can reach forward. Without a CUDA device and Triton it says so,
and measures nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.timing import Spread, ratios
from benchmarks.outcome import Bound, conclude, parser_for
from benchmarks.rivals.patchwise import patchwise_einsum
from neonext_ascend.kernels import fused, triton_kernels
from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.config import STAGES
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.models.variants import find_variant

CONFIG, BATCH, KERNEL = find_variant("neonext_t").config, 128, 7
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
FUSED, BMM, EINSUM, DEPTHWISE, COPY = "fused kernel", "bmm", "patchwise einsum", "depthwise 7x7 (cuDNN)", "copy"
COMPILED = {BMM: "bmm, torch.compile", EINSUM: "patchwise einsum, torch.compile"}
REPEATS, QUICK_REPEATS, WARM_UP, CALLS = 20, 3, 5, 10
# Largest difference from fp32 over the largest value.
TOLERANCE = {"fp16": 1e-2, "bf16": 5e-2}
LEAST_BANDWIDTH, LEAST_SPEED_UP = 0.8, 15.0

Function = Callable[[Tensor, list[Tensor], list[Tensor]], Tensor]


def main() -> int:
    """Measure, print, and give the exit code."""
    options = parser_for("cuda", __doc__).parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    why = why_not()
    if why:
        print(f"not run: {why}")
        return conclude("cuda", machine, {"quick": options.quick, "ran": False, "why": why}, [], options.json)
    torch.backends.cudnn.benchmark = True
    rows: list[dict[str, Any]] = []
    for stage in range(STAGES):
        for dtype in DTYPES:
            for backward in (False, True):
                found = measure(stage, dtype, backward, QUICK_REPEATS if options.quick else REPEATS)
                rows += found
                for row in found:
                    text = f"stage {row['stage']} {dtype} {row['pass']:<20}{row['form']:<34}"
                    print(f"{text}{row['seconds']['median'] * 1e6:10.1f} us  {Spread(**row['over_fused'])}")
    device = torch.cuda.get_device_name()
    figures = {"quick": options.quick, "ran": True, "device": device, "batch": BATCH, "rows": rows}
    return conclude("cuda", machine, figures, bounds_of(rows), options.json)


def why_not() -> str | None:
    """Why there is nothing to measure here, or ``None``."""
    if not torch.cuda.is_available():
        return "no CUDA device here"
    if triton_kernels.triton is None:
        return "Triton is not installed"
    example = torch.empty(1, CONFIG.widths[0], 56, 56, device="cuda", dtype=torch.float16)
    return None if fused.available(example, CONFIG.geometry(0)) else "the fused kernel does not run on this device"


def forms(geometry: Geometry, height: int, width: int) -> dict[str, Function]:
    """Every way to compute this NeoCell from X and its cells."""

    def bmm(x: Tensor, left: list[Tensor], right: list[Tensor]) -> Tensor:
        A = block_diagonal(left, geometry, "left", height, width)
        return neocell_blockdiag(x, A, block_diagonal(right, geometry, "right", height, width))

    def einsum(x: Tensor, left: list[Tensor], right: list[Tensor]) -> Tensor:
        return patchwise_einsum(x, left, right, geometry)

    def kernel(x: Tensor, left: list[Tensor], right: list[Tensor]) -> Tensor:
        return fused.neocell_fused(x, left, right, geometry)

    return {FUSED: kernel, BMM: bmm, EINSUM: einsum}


def measure(stage: int, dtype: str, backward: bool, repeats: int) -> list[dict[str, Any]]:
    """A row for each form in this stage (0 to 3)."""
    geometry, (height, width) = CONFIG.geometry(stage), CONFIG.stage_sizes()[stage]
    cell = NeoCell(geometry)
    redraw_at_order_one(cell)
    kind: Any = {"device": "cuda", "dtype": DTYPES[dtype]}
    x = torch.randn(BATCH, geometry.channels, height, width, generator=torch.Generator().manual_seed(1))
    expected = cell(x[:2]).detach()
    maps = x.to(**kind).requires_grad_(backward)
    left, right = (
        [w.detach().to(**kind).requires_grad_(backward) for w in ws] for ws in (cell.weight_a, cell.weight_b)
    )
    functions = forms(geometry, height, width)
    for name, function in functions.items():
        _check(f"{name}, stage {stage + 1}, {dtype}", function(maps, left, right)[:2], expected, TOLERANCE[dtype])
    functions |= {COMPILED[name]: torch.compile(functions[name]) for name in COMPILED}
    runs: dict[str, Callable[[], object]] = {
        name: partial(_run, partial(function, maps, left, right), [maps, *left, *right] if backward else [])
        for name, function in functions.items()
    }
    kernel = torch.randn(geometry.channels, 1, KERNEL, KERNEL, **kind).requires_grad_(backward)
    depthwise = partial(F.conv2d, maps, kernel, padding=KERNEL // 2, groups=geometry.channels)
    runs[DEPTHWISE] = partial(_run, depthwise, [maps, kernel] if backward else [])
    if not backward:
        runs[COPY] = partial(torch.empty_like(maps).copy_, maps)
    seconds = _interleaved(runs, repeats)
    labels = {"stage": stage + 1, "dtype": dtype, "pass": "forward, backward" if backward else "forward"}
    return [
        {
            **labels,
            "form": name,
            "seconds": asdict(Spread.of(samples)),
            "over_fused": asdict(ratios(samples, seconds[FUSED])),
        }
        for name, samples in seconds.items()
    ]


def bounds_of(rows: list[dict[str, Any]]) -> list[Bound]:
    """What the fused kernel must reach forward in fp16: copy bandwidth in stages 1 and 2, and faster than the rest."""
    least = {EINSUM: LEAST_SPEED_UP, BMM: 1.0, DEPTHWISE: 1.0}
    bounds = []
    for row in rows:
        if row["dtype"] != "fp16" or row["pass"] != "forward" or row["stage"] > 2:
            continue
        ratio, where = row["over_fused"]["median"], f"stage {row['stage']}, fp16, batch {BATCH}"
        if row["form"] == COPY:
            bounds.append(Bound(f"share of copy bandwidth, {where}", ratio, "at least", LEAST_BANDWIDTH))
        elif row["form"] in least:
            bounds.append(Bound(f"{row['form']} over the fused kernel, {where}", ratio, "at least", least[row["form"]]))
    return bounds


def _run(forward: Callable[[], Tensor], wanted: list[Tensor]) -> None:
    """Forward, and the derivatives by what is wanted."""
    y = forward()
    if wanted:
        torch.autograd.grad(y, wanted, y.detach())


def _interleaved(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of one call by the device's own clock, in turns; each sample is the mean of a few calls."""
    for run in runs.values():
        for _ in range(WARM_UP):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            torch.cuda.synchronize()
            start.record()
            for _ in range(CALLS):
                run()
            end.record()
            torch.cuda.synchronize()
            seconds[name].append(1e-3 * start.elapsed_time(end) / CALLS)
    return seconds


def _check(name: str, y: Tensor, expected: Tensor, tolerance: float) -> None:
    error = float((y.detach().float().cpu() - expected).abs().max() / expected.abs().max())
    if not error <= tolerance:
        raise SystemExit(f"{name}: differs by {error:.1e} of its largest value; nothing is timed on wrong numbers")


if __name__ == "__main__":
    sys.exit(main())
