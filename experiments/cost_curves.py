"""Equations 4 and 5: a depthwise convolution costs ``C H W k^2``, a NeoCell ``2 C H W k``; counted, and timed.

Needs nothing but the package; one thread, the shortest of several runs. Writes ``docs/images/cost_curves.svg``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from neonext_ascend.drawing.style import SERIES, axes, draw, logarithmic
from neonext_ascend.kernels.blockdiag import neocell_blockdiag
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.neocell import NeoCell

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "cost_curves.svg"
CHANNELS, MAP, SIZES, RUNS = 96, 56, (2, 4, 7, 14, 28), 15


def main() -> bool:
    """Whether the convolution's time grows faster with k than the NeoCell's, as the equations say."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [measured(k) for k in SIZES]
    finally:
        torch.set_num_threads(threads)
    area = CHANNELS * MAP * MAP
    names = ("depthwise conv", "patchwise", "block-diagonal")
    print(f"{'k':>3}{'eq. 4 MMAC':>12}{'eq. 5 MMAC':>12}" + "".join(f"{name + ' ms':>20}" for name in names))
    for k, row in zip(SIZES, rows, strict=True):
        print(f"{k:3}{area * k * k / 1e6:12.2f}{2 * area * k / 1e6:12.2f}" + "".join(f"{ms:20.3f}" for ms in row))
    PICTURE.write_text(picture(names, rows), encoding="utf-8")
    print(f"wrote {PICTURE.name}")
    growth = [last / first for first, last in zip(rows[0], rows[-1], strict=True)]
    return growth[0] > max(growth[1:])


def measured(k: int) -> tuple[float, float, float]:
    """Milliseconds of one image through each."""
    geometry = Geometry.split(CHANNELS, (k,), False)
    cell, conv = NeoCell(geometry), nn.Conv2d(CHANNELS, CHANNELS, k, padding=k // 2, groups=CHANNELS, bias=False)
    x = torch.randn(1, CHANNELS, MAP, MAP)
    with torch.no_grad():
        left, right = cell.matrices(MAP, MAP)
        return (
            shortest(partial(conv, x)),
            shortest(partial(patchwise, x, cell.weight_a[0], cell.weight_b[0])),
            shortest(partial(neocell_blockdiag, x, left, right, None)),
        )


def patchwise(x: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Equation 1: every patch between L and R of its channel ``(C, k, k)``; k divides the map."""
    k, patches = left.shape[-1], MAP // left.shape[-1]
    cut = x.reshape(1, CHANNELS, patches, k, patches, k).transpose(3, 4)
    y = left[:, None, None] @ cut @ right[:, None, None]
    return y.transpose(3, 4).reshape(x.shape)


def shortest(work: Callable[[], object]) -> float:
    """Milliseconds of the shortest run: others on the machine only lengthen one."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def picture(names: tuple[str, ...], rows: list[tuple[float, float, float]]) -> str:
    """Time by k, both logarithmic."""

    def paint(figure: Figure) -> None:
        plot = axes(figure, 64, 84, 24, 56)
        for name, colour, line in zip(names, SERIES, zip(*rows, strict=True), strict=False):
            plot.plot(SIZES, line, "o-", color=colour, label=name)
        plot.set_xlabel("k, pixels")
        plot.set_ylabel("milliseconds")
        logarithmic(plot, "x")
        logarithmic(plot, "y")
        plot.legend()

    subtitle = f"{CHANNELS} maps of {MAP} x {MAP} in PyTorch on the CPU, one thread, the shortest of {RUNS} runs"
    told = f"Milliseconds by k of {', '.join(names)}: {rows}"
    return draw(720, 400, "What a larger k costs", told, paint, subtitle)
