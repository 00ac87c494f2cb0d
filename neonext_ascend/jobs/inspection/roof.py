"""The roof of a chip and the points of a file, for a plot that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neonext_ascend.drawing.dearest import Mark
from neonext_ascend.drawing.roofline import Roof
from neonext_ascend.errors import UsageError
from neonext_ascend.machine.chips import SOCS, Soc

if TYPE_CHECKING:
    from neonext_ascend.cost.answer import FileCost, Timed
    from neonext_ascend.cost.counting import Work

POINTS = 10


def roof_of(plot: Path, soc: Soc) -> Roof:
    """Its peak and its bandwidth.

    Raises:
        UsageError: one of them is not known.
    """
    if soc.fp16_tflops is None or soc.bandwidth_gbs is None:
        complete = [other.name for other in SOCS.values() if other.fp16_tflops is not None and other.bandwidth_gbs]
        raise UsageError(
            f"--plot {plot}: {soc.name} has no peak or no bandwidth figure, so no roof; take {' or '.join(complete)}"
        )
    return Roof(
        soc.fp16_tflops * 1e12,
        soc.bandwidth_gbs * 1e9,
        f"{soc.fp16_tflops:.1f} TFLOPS, derived",
        f"{soc.bandwidth_gbs:g} GB/s, a press figure",
    )


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
