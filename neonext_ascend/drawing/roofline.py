"""A roofline: for each batch and stage a panel with the chip's roof and a point for each layout and lowering.

Across: useful operations for each byte moved. Up: useful operations a second by the estimate. A point below the roof
loses to padding: the cube unit multiplies more than is useful.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neonext_ascend.drawing.style import (
    BLUE,
    EDGE,
    GREEN,
    ORANGE,
    PAGE,
    PINK,
    PURPLE,
    SMALL,
    SOFT,
    TEXT,
    draw,
    logarithmic,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Mapping[str, str] = {"blockdiag": BLUE, "packed": GREEN, "padded": PINK, "patchwise": ORANGE, "kron": PURPLE}
WIDTH, PANEL, TOP, BOTTOM = 820, 170, 132, 56


@dataclass(frozen=True, slots=True)
class Roof:
    """A chip: ``peak`` in operations a second, ``bandwidth`` in bytes a second, and both in words."""

    peak: float
    bandwidth: float
    peak_text: str
    bandwidth_text: str


@dataclass(frozen=True, slots=True)
class Point:
    """One NeoCell: useful operations for each byte, and a second."""

    batch: int
    stage: int
    layout: str
    lowering: str
    chosen: bool
    intensity: float
    speed: float


def draw_roofline(title: str, subtitle: str, roof: Roof, points: Sequence[Point]) -> str:
    """A whole SVG file.

    Args:
        title, subtitle: what is drawn, and how the figures came about.
        roof: of the chip.
        points: at least one.
    """
    batches, stages = (sorted({getattr(point, name) for point in points}) for name in ("batch", "stage"))
    height = TOP + PANEL * len(batches) + BOTTOM
    ridge = roof.peak / roof.bandwidth
    x = [min(ridge, *(p.intensity for p in points)) / 2, max(ridge, *(p.intensity for p in points)) * 2]
    y = [min(p.speed for p in points) / 2e12, roof.peak * 2 / 1e12]

    def paint(figure: Figure) -> None:
        figure.subplots_adjust(70 / WIDTH, BOTTOM / height, 1 - 24 / WIDTH, 1 - TOP / height, hspace=0.2, wspace=0.08)
        panels = figure.subplots(len(batches), len(stages), sharex=True, sharey=True, squeeze=False)
        panels[0, 0].set(xlim=x, ylim=y)
        logarithmic(panels[0, 0], "x")
        logarithmic(panels[0, 0], "y")
        for row, batch in enumerate(batches):
            panels[row, 0].set_ylabel(f"batch {batch}\nuseful TFLOPS, estimate")
            for column, stage in enumerate(stages):
                found = [point for point in points if (point.batch, point.stage) == (batch, stage)]
                panels[row, column].plot(
                    [x[0], ridge, x[1]], [x[0] * roof.bandwidth / 1e12, *[roof.peak / 1e12] * 2], color=EDGE
                )
                _panel(panels[row, column], found)
        for column, stage in enumerate(stages):
            panels[0, column].set_title(f"stage {stage}")
        figure.supxlabel("useful operations for each byte moved", fontsize=SMALL, color=SOFT, y=14 / height)
        _legend(figure, {point.lowering for point in points}, height)

    told = f"Roofline, {subtitle}. {roof.peak_text}; {roof.bandwidth_text}."
    lines = f"{subtitle}\nroof: {roof.peak_text}; its slope: {roof.bandwidth_text}"
    return draw(WIDTH, height, title, told, paint, lines)


def _panel(panel: Axes, points: Sequence[Point]) -> None:
    for point in points:
        panel.plot(point.intensity, point.speed / 1e12, **_mark(point.layout, COLOURS[point.lowering], point.chosen))
        if point.chosen:
            text = f"{point.lowering}, {point.layout}"
            panel.text(0.97, 0.05, text, color=COLOURS[point.lowering], ha="right", transform=panel.transAxes)


def _mark(layout: str, colour: str, chosen: bool = False) -> dict[str, Any]:
    """A dot for nchw, a square around it for chnw; the chosen one with a rim."""
    looks = {"linestyle": "none", "markeredgewidth": 1.4}
    if layout == "nchw":
        rim = TEXT if chosen else PAGE
        return {**looks, "marker": "o", "markersize": 7, "color": colour, "markeredgecolor": rim, "zorder": 4}
    filled, rim = (colour, TEXT) if chosen else ("none", colour)
    return {**looks, "marker": "s", "markersize": 10, "color": filled, "markeredgecolor": rim, "zorder": 3}


def _legend(figure: Figure, lowerings: AbstractSet[str], height: int) -> None:
    from matplotlib.lines import Line2D

    entries = {name: _mark("nchw", colour) for name, colour in COLOURS.items() if name in lowerings}
    entries |= {"in nchw": _mark("nchw", SOFT), "in chnw": _mark("chnw", SOFT), "chosen": _mark("chnw", PAGE, True)}
    handles = [Line2D([], [], label=name, **looks) for name, looks in entries.items()]
    place = (16 / WIDTH, 1 - 82 / height)
    figure.legend(handles=handles, ncols=len(handles), loc="upper left", bbox_to_anchor=place, handletextpad=0.1)
