"""The roof of a chip and the points of a file, for a plot that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neonext_ascend.cost.timing import Fit, find_fit
from neonext_ascend.drawing.dearest import Mark
from neonext_ascend.drawing.roofline import Roof
from neonext_ascend.errors import UsageError
from neonext_ascend.machine.chips import SOCS, Soc

if TYPE_CHECKING:
    from neonext_ascend.cost.answer import FileCost, Timed
    from neonext_ascend.cost.counting import Work

POINTS = 10


def fit_for(plot: Path, soc: Soc) -> Fit:
    """What the times of a plot that is asked for rest on.

    Raises:
        UsageError: no time is told for this chip.
    """
    fit = find_fit(soc.name)
    if fit is None:
        known = [name for name in SOCS if find_fit(name) is not None]
        raise UsageError(f"--plot {plot}: no time is known for {soc.name}, so no roof; take {' or '.join(known)}")
    return fit


def roof_of(soc: Soc, fit: Fit, memory: Literal["bandwidth", "l2_bandwidth"]) -> Roof:
    """Its peak, and the fitted bandwidth of its memory or of its L2."""
    assert soc.fp16_tflops is not None  # a chip with a fit has a peak
    bandwidth, where = fit.parameters[memory], "L2" if memory == "l2_bandwidth" else "memory"
    words = f"{bandwidth / 1e9:.0f} GB/s of the {where}, fitted"
    return Roof(soc.fp16_tflops * 1e12, bandwidth, f"{soc.fp16_tflops:.1f} TFLOPS, derived", words)


def marks_of(cost: FileCost) -> list[Mark]:
    """The ten dearest sorts of operators: those of equal work are one."""
    alike: dict[Work, list[Timed]] = {}
    for one in cost.timed:
        alike.setdefault(one.operator.work, []).append(one)
    dearest = sorted(alike.items(), key=lambda item: -sum(one.share for one in item[1]))[:POINTS]
    marks = []
    for work, each in dearest:
        operations = 2 * work.dense or work.elements
        moved = work.read + work.written + work.weights
        name = f"{each[0].operator.name}{f' and {len(each) - 1} more' * (len(each) > 1)}"
        if operations and moved:
            share, speed = sum(one.share for one in each), 1e6 * operations / each[0].microseconds
            marks.append(Mark(name, work.kind, operations / moved, speed, share))
    return marks
