"""Latencies as an SVG: for each contender its runs as dots, and a box over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.drawing.svg import PAGE_STYLES, add_line, add_text, clean, style_sheet

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 720, 24, 24, 76, 64, 64
HALF_BOX, MOST_DOTS = 9, 400
# From this ratio of largest to smallest on, the axis is logarithmic.
WIDE = 8
# class: property, light colour, dark colour
_STYLES = (
    *PAGE_STYLES,
    (".dot", "fill", "#0969da", "#58a6ff"),
    (".box", "stroke", "#1f2328", "#f0f6fc"),
)
_FIXED = ".dot { fill-opacity: 0.35; }\n.box { fill: none; stroke-width: 1.2; }\n.thick { stroke-width: 2.4; }\n"


@dataclass(frozen=True, slots=True)
class _Axis:
    """Milliseconds to pixels."""

    low: float
    high: float
    log: bool

    def x(self, value: float) -> float:
        """Where a value lies, in pixels from the left."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    def ticks(self) -> list[float]:
        """Round values, four to ten of them where the range allows."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
            return [value for value in every if self.low <= value <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(factor for factor in (5, 2, 1) if factor * step <= (self.high - self.low) / 4)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def draw_latencies(names: Sequence[str], seconds: Sequence[Sequence[float]], subtitle: str) -> str:
    """A whole SVG file that reads well on light and on dark pages.

    Args:
        names: one for each contender.
        seconds: its timed runs, at least one each, all above 0.
        subtitle: on what machine and how it was measured.
    """
    milliseconds = [1e3 * np.asarray(runs, dtype=np.float64) for runs in seconds]
    axis = _axis_for(milliseconds)
    height = TOP + ROW * len(names) + BOTTOM
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "role": "img",
            "width": f"{WIDTH}",
            "height": f"{height}",
        },
    )
    SubElement(root, "title").text = "Latency of one run"
    SubElement(root, "desc").text = clean(f"Runs of {', '.join(names)} in milliseconds. {subtitle}")
    SubElement(root, "style").text = style_sheet(_STYLES, _FIXED)
    SubElement(root, "rect", {"class": "page", "width": str(WIDTH), "height": str(height)})
    add_text(root, LEFT, 28, "Latency of one run", "title")
    add_text(root, LEFT, 48, subtitle, "soft")
    _draw_axis(root, axis, height - BOTTOM)
    for row, (name, runs) in enumerate(zip(names, milliseconds, strict=True)):
        _draw_row(root, axis, TOP + ROW * row, name, runs)
    caption = "dots: single runs; box: the middle half; line in it: median; whiskers: 5 % to 95 %"
    add_text(root, LEFT, height - 8, caption, "soft")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _axis_for(milliseconds: Sequence[NDArray[np.float64]]) -> _Axis:
    """From the shortest run to a little beyond the largest 99th percentile; rarer runs would flatten all others."""
    low = min(float(runs.min()) for runs in milliseconds)
    high = max(float(np.percentile(runs, 99)) for runs in milliseconds)
    if high <= low:
        return _Axis(0.9 * low, 1.1 * low, log=False)
    if high > WIDE * low:
        return _Axis(low / 1.1, high * 1.1, log=True)
    margin = 0.04 * (high - low)
    return _Axis(max(0.0, low - margin), high + margin, log=False)


def _draw_axis(root: Element, axis: _Axis, y: float) -> None:
    for tick in axis.ticks():
        x = axis.x(tick)
        add_line(root, "grid", x, TOP - 12, x, y)
        add_text(root, x, y + 18, f"{tick:.6g}", "soft", "middle")
    add_line(root, "axis", LEFT, y, WIDTH - RIGHT, y)
    add_text(root, WIDTH / 2, y + 36, "milliseconds" + (", logarithmic" if axis.log else ""), "", "middle")


def _draw_row(root: Element, axis: _Axis, top: float, name: str, runs: NDArray[np.float64]) -> None:
    beyond = int((runs > axis.high).sum())
    add_text(root, LEFT, top + 8, name)
    if beyond:
        add_text(root, WIDTH - RIGHT, top + 8, f"{beyond} of {len(runs)} runs beyond {axis.high:.3g}", "soft", "end")
    middle = top + 30
    shown = runs[np.linspace(0, len(runs) - 1, min(MOST_DOTS, len(runs)), dtype=int)]
    for number, value in enumerate(shown):
        if value <= axis.high:
            # The golden ratio spreads the dots evenly without a pattern, and equally in every drawing.
            offset = 2 * HALF_BOX * ((number * 0.618034) % 1 - 0.5)
            spot = {"cx": f"{axis.x(float(value))}", "cy": f"{middle + offset:.2f}", "r": "1.6"}
            SubElement(root, "circle", {"class": "dot", **spot})
    p5, lower, median, upper, p95 = (float(v) for v in np.percentile(runs, (5, 25, 50, 75, 95)).clip(max=axis.high))
    add_line(root, "box", axis.x(p5), middle, axis.x(lower), middle)
    add_line(root, "box", axis.x(upper), middle, axis.x(p95), middle)
    left, right = axis.x(lower), axis.x(upper)
    shape = {"x": f"{left}", "y": f"{middle - HALF_BOX}", "width": f"{right - left:.2f}", "height": f"{2 * HALF_BOX}"}
    SubElement(root, "rect", {"class": "box", **shape})
    add_line(root, "box thick", axis.x(median), middle - HALF_BOX, axis.x(median), middle + HALF_BOX)
