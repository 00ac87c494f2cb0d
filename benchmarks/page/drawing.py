"""What the plots are drawn with: an SVG file that reads well on light and on dark pages, and axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

# class: property, light colour, dark colour
_STYLES = (
    (".page", "fill", "#ffffff", "#0d1117"),
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".soft", "fill", "#59636e", "#9198a1"),
    (".grid", "stroke", "#d8dee4", "#30363d"),
    (".axis", "stroke", "#818b98", "#9198a1"),
)
# Series, told apart by hue and lightness.
_SERIES = (
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#ff9b50"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#ab7df8"),
    ("#818b98", "#6e7681"),
    ("#bf3989", "#f778ba"),
    ("#9a6700", "#e3b341"),
)
SERIES = len(_SERIES)


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to pixels.

    Args:
        low, high: values at its ends.
        start, end: pixels there.
        log: whether equal ratios have equal lengths.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return round(self.start + (self._scaled(value) - low) / (high - low) * (self.end - self.start), 2)

    def ticks(self) -> list[float]:
        """Round values between its ends."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = (1, 2, 5) if self.high < 200 * self.low else (1,)
            every = [digit * 10.0**power for power in powers for digit in digits]
            return [value for value in every if self.low <= value <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 3))
        step *= next(factor for factor in (5, 2, 1) if factor * step <= (self.high - self.low) / 3)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


class Drawing:
    """An SVG file of this size, in pixels, with a title and a line under it."""

    def __init__(self, width: int, height: int, title: str, subtitle: str, description: str) -> None:
        size = {"width": f"{width}", "height": f"{height}"}
        view = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "role": "img"}
        self._root = Element("svg", {**view, **size})
        SubElement(self._root, "title").text = title
        SubElement(self._root, "desc").text = description
        SubElement(self._root, "style").text = _style()
        SubElement(self._root, "rect", {"class": "page", **size})
        self.text(24, 28, title, "title")
        self.text(24, 48, subtitle, "soft")

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """A line of text."""
        place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}
        SubElement(self._root, "text", {"class": kind, **place}).text = text

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """A straight line."""
        SubElement(
            self._root, "line", {"class": kind, "x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
        )

    def bar(self, series: int, x: float, y: float, width: float, height: float) -> None:
        """A filled rectangle."""
        shape = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{max(width, 0.5):g}", "height": f"{height:g}"}
        SubElement(self._root, "rect", {"class": f"fill{series}", **shape})

    def dot(self, series: int, x: float, y: float) -> None:
        """A filled circle."""
        SubElement(self._root, "circle", {"class": f"fill{series}", "cx": f"{x:g}", "cy": f"{y:g}", "r": "4"})

    def legend(self, x: float, y: float, names: list[str], step: float) -> None:
        """Dots and names of the series in order, ``step`` pixels apart."""
        for number, name in enumerate(names):
            self.dot(number, x + number * step, y - 4)
            self.text(x + number * step + 10, y, name, "soft")

    def svg(self) -> str:
        """The whole file."""
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"


def _style() -> str:
    def colours(dark: bool) -> str:
        rules = "".join(f"{name} {{ {what}: {colour[dark]}; }}\n" for name, what, *colour in _STYLES)
        for number, pair in enumerate(_SERIES):
            rules += f".fill{number} {{ fill: {pair[dark]}; }}\n.line{number} {{ stroke: {pair[dark]}; }}\n"
        return rules

    fixed = (
        "text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }\n"
        ".title { font-size: 16px; font-weight: 600; }\n"
        ".soft { font-size: 12px; }\n"
        ".thick { stroke-width: 1.8; }\n"
        ".dashed { stroke-width: 1.4; stroke-dasharray: 5 4; }\n"
    )
    return f"\n{fixed}{colours(False)}@media (prefers-color-scheme: dark) {{\n{colours(True)}}}\n"
