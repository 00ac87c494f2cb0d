"""A roofline of a file: the chip's roof and a numbered point for each of its dearest operators, which a list names.

Across: operations for each byte moved. Up: operations a second by the estimate. An operation is a multiplication or an
addition of a product, or one element that the vector unit goes through. A point above the slope has its tensors in L2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neonext_ascend.drawing.roofline import BOTTOM, WIDTH, Roof
from neonext_ascend.drawing.style import EDGE, MARGIN, PAGE, SERIES, SMALL, SOFT, axes, draw, logarithmic, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL, TOP, ROW = 300, 104, 20
_LEFT, _LINE = 74, 100  # pixels; characters of a line of the list
_NEAR = 1.15


@dataclass(frozen=True, slots=True)
class Mark:
    """Operators of equal work: how they are named, their kind, operations for each byte and a second, share of time."""

    name: str
    kind: str
    intensity: float
    speed: float
    share: float


def _are_near(one: Mark, other: Mark) -> bool:
    """Within a few pixels."""
    ratios = (one.intensity / other.intensity, one.speed / other.speed)
    return all(1 / _NEAR < ratio < _NEAR for ratio in ratios)


def draw_dearest(title: str, roof: Roof, marks: Sequence[Mark]) -> str:
    """A whole SVG file.

    Args:
        title: what is drawn.
        roof: of the chip.
        marks: at least one, the dearest first.
    """
    height = TOP + PANEL + BOTTOM + ROW * (len(marks) + 1)
    ridge = roof.peak / roof.bandwidth
    across = [min(ridge, *(mark.intensity for mark in marks)) / 2, max(ridge, *(m.intensity for m in marks)) * 2]
    up = [min(mark.speed for mark in marks) / 3e12, max(roof.peak, *(mark.speed for mark in marks)) * 2 / 1e12]
    kinds = list(dict.fromkeys(mark.kind for mark in marks))
    colours = {kind: SERIES[place % len(SERIES)] for place, kind in enumerate(kinds)}

    def paint(figure: Figure) -> None:
        panel = axes(figure, _LEFT, TOP, MARGIN, height - TOP - PANEL)
        panel.set(xlim=across, ylim=up, ylabel="TFLOPS, estimate")
        panel.set_xlabel("operations for each byte moved")
        logarithmic(panel, "x")
        logarithmic(panel, "y")
        slope = [across[0] * roof.bandwidth / 1e12, *[roof.peak / 1e12] * 2]
        panel.plot([across[0], ridge, across[1]], slope, color=EDGE)
        for number, mark in enumerate(marks, 1):
            place = (mark.intensity, mark.speed / 1e12)
            colour = colours[mark.kind]
            panel.plot(*place, "o", color=colour, markeredgecolor=PAGE, markersize=9, zorder=3)
            near = [other for other, one in enumerate(marks, 1) if _are_near(mark, one)]
            if number == near[0]:  # points upon each other have one label
                text = ", ".join(map(str, near))
                panel.annotate(text, place, (6, 5), textcoords="offset points", color=colour, zorder=4)
        for number, mark in enumerate(marks, 1):
            y = TOP + PANEL + BOTTOM + ROW * number
            write(figure, MARGIN + 18, y, str(number), color=colours[mark.kind], ha="right", size=SMALL)
            write(figure, MARGIN + 30, y, f"{mark.share:.1%}", color=SOFT, size=SMALL)
            write(figure, MARGIN + 80, y, f"{mark.kind}: {mark.name}"[:_LINE], size=SMALL)

    subtitle = "the dearest operators, fp16; an estimate, nothing measured"
    told = f"Roofline, {subtitle}. {roof.peak_text}; {roof.bandwidth_text}."
    lines = f"{subtitle}\nroof: {roof.peak_text}; its slope: {roof.bandwidth_text}; above it: tensors in L2"
    return draw(WIDTH, height, title, told, paint, lines)
