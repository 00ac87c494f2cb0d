"""A roofline as an SVG: for each batch a panel with the chip's roof and a point for each lowering of each stage.

Across: useful operations for each byte moved. Up: useful operations a second by the estimate. A point below the roof
loses to padding: the cube unit multiplies more than is useful.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from neonext_ascend.drawing.svg import PAGE_STYLES, add_line, add_text, clean, style_sheet

WIDTH, LEFT, RIGHT, TOP, PANEL, BOTTOM, GAP = 760, 64, 24, 84, 340, 44, 40
LABELS_FROM, LABEL_STEP = 0.47, 17  # share of the width; pixels
NEAR = 5.0  # pixels within which points of one lowering share a label
# class: property, light colour, dark colour
_STYLES = (
    *PAGE_STYLES,
    (".roof", "stroke", "#1f2328", "#f0f6fc"),
    (".leader", "stroke", "#afb8c1", "#484f58"),
    (".blockdiag", "fill", "#0969da", "#58a6ff"),
    (".packed", "fill", "#1a7f37", "#3fb950"),
    (".patchwise", "fill", "#bc4c00", "#f0883e"),
    (".kron", "fill", "#8250df", "#bc8cff"),
    (".chosen", "stroke", "#1f2328", "#f0f6fc"),
)
_FIXED = (
    ".label { font-size: 12px; }\n"
    ".name, .chosen-text { font-weight: 600; }\n"
    ".roof { stroke-width: 2; }\n"
    ".leader { stroke-width: 0.8; }\n"
    ".chosen { stroke-width: 1.6; }\n"
)


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


@dataclass(frozen=True, slots=True)
class _Axis:
    """Logarithmic; values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.stop - self.start), 2)

    def ticks(self) -> list[float]:
        """Powers of ten."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class _Label:
    """What stands beside the points of one lowering that lie together."""

    x: float
    y: float
    text: str
    lowering: str
    chosen: bool


def draw_roofline(title: str, subtitle: str, roof: Roof, points: Sequence[Point]) -> str:
    """A whole SVG file that reads well on light and on dark pages.

    Args:
        title, subtitle: what is drawn, and how the figures came about.
        roof: of the chip.
        points: at least one, in the order of their batches.
    """
    panels = [(batch, list(group)) for batch, group in groupby(points, key=lambda point: point.batch)]
    height = TOP + len(panels) * (PANEL + BOTTOM + GAP) - GAP + 16
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
    SubElement(root, "title").text = clean(title)
    SubElement(root, "desc").text = clean(f"Roofline, {subtitle}. {roof.peak_text}; {roof.bandwidth_text}.")
    SubElement(root, "style").text = style_sheet(_STYLES, _FIXED)
    SubElement(root, "rect", {"class": "page", "width": str(WIDTH), "height": str(height)})
    add_text(root, LEFT, 28, title, "title")
    add_text(root, LEFT, 48, subtitle, "soft")
    x_axis = _axis([roof.peak / roof.bandwidth * 8, *(p.intensity for p in points)], LEFT, WIDTH - RIGHT)
    for number, (batch, group) in enumerate(panels):
        top = TOP + number * (PANEL + BOTTOM + GAP)
        y_axis = _axis([roof.peak * 1.6, *(p.speed for p in points)], top + PANEL, top)
        _draw_panel(root, f"batch {batch}", x_axis, y_axis, roof, group)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _axis(values: Iterable[float], start: float, stop: float) -> _Axis:
    low, high = min(values := list(values)), max(values)
    return _Axis(low / 2, high, start, stop)


def _draw_panel(root: Element, name: str, x: _Axis, y: _Axis, roof: Roof, points: Sequence[Point]) -> None:
    bottom, top, ridge = y.start, y.stop, roof.peak / roof.bandwidth
    for tick in x.ticks():
        add_line(root, "grid", x.place(tick), top, x.place(tick), bottom)
        add_text(root, x.place(tick), bottom + 16, f"{tick:g}", "soft", "middle")
    for tick in y.ticks():
        add_line(root, "grid", LEFT, y.place(tick), WIDTH - RIGHT, y.place(tick))
        add_text(root, LEFT - 6, y.place(tick) + 4, f"{tick / 1e12:g}", "soft", "end")
    add_line(root, "axis", LEFT, bottom, WIDTH - RIGHT, bottom)
    add_line(root, "axis", LEFT, top, LEFT, bottom)
    add_text(root, (LEFT + WIDTH - RIGHT) / 2, bottom + 36, "useful operations for each byte moved", "", "middle")
    add_text(root, LEFT, top - 8, f"{name}: useful TFLOPS, estimate", "name")
    # The slope may leave the frame at the left or below.
    first = max(x.low, y.low / roof.bandwidth)
    corner = (x.place(ridge), y.place(roof.peak))
    start = (x.place(first), y.place(first * roof.bandwidth))
    add_line(root, "roof", *start, *corner)
    add_line(root, "roof", *corner, WIDTH - RIGHT, corner[1])
    add_text(root, WIDTH - RIGHT, corner[1] + 16, roof.peak_text, "soft", "end")
    middle = tuple(0.3 * a + 0.7 * b for a, b in zip(start, corner, strict=True))
    angle = math.degrees(math.atan2(corner[1] - start[1], corner[0] - start[0]))
    turned = add_text(root, middle[0], middle[1] - 8, roof.bandwidth_text, "soft", "middle")
    turned.set("transform", f"rotate({angle:.1f} {middle[0]:.1f} {middle[1]:.1f})")
    left = LEFT + LABELS_FROM * (WIDTH - LEFT - RIGHT)
    roof_there = start[1] + (left - start[0]) / (corner[0] - start[0]) * (corner[1] - start[1])
    _draw_labels(root, _labels(points, x, y), left, max(top, roof_there), bottom)
    for point in sorted(points, key=lambda p: p.chosen):
        _mark(root, point, x.place(point.intensity), y.place(point.speed))


def _labels(points: Sequence[Point], x: _Axis, y: _Axis) -> list[_Label]:
    """One for the points of a lowering that lie together, from the top down."""
    clusters: list[list[Point]] = []
    spots: list[tuple[float, float]] = []
    for point in points:
        spot = (x.place(point.intensity), y.place(point.speed))
        for cluster, (left, top) in zip(clusters, spots, strict=True):
            first = cluster[0]
            alike = (first.lowering, first.chosen) == (point.lowering, point.chosen)
            if alike and math.dist(spot, (left, top)) <= NEAR:
                cluster.append(point)
                break
        else:
            clusters.append([point])
            spots.append(spot)
    labels = [
        _Label(*spot, _cluster_text(cluster), cluster[0].lowering, cluster[0].chosen)
        for cluster, spot in zip(clusters, spots, strict=True)
    ]
    return sorted(labels, key=lambda label: (label.y, -label.x))


def _cluster_text(cluster: Sequence[Point]) -> str:
    """``patchwise, nchw: stages 1, 2; chnw: stage 4``; equal stages of two layouts together."""
    by_layout: dict[str, list[int]] = {}
    for point in cluster:
        by_layout.setdefault(point.layout, []).append(point.stage)
    by_stages: dict[tuple[int, ...], list[str]] = {}
    for layout, stages in by_layout.items():
        by_stages.setdefault(tuple(stages), []).append(layout)
    parts = [
        f"{' and '.join(layouts)}: stage{'s' if len(stages) > 1 else ''} {', '.join(map(str, stages))}"
        for stages, layouts in by_stages.items()
    ]
    return f"{cluster[0].lowering}, {'; '.join(parts)}{' (chosen)' if cluster[0].chosen else ''}"


def _draw_labels(root: Element, labels: Sequence[_Label], x: float, roof: float, bottom: float) -> None:
    """In the empty corner below the roof, each with a line to its point."""
    last = bottom - LABEL_STEP
    step = min(LABEL_STEP, (last - roof - 2 * LABEL_STEP) / max(len(labels) - 1, 1))
    y = last - step * (len(labels) - 1)
    for number, label in enumerate(labels):
        here = y + number * step
        add_line(root, "leader", label.x, label.y, x - 16, here - 4)
        SubElement(root, "circle", {"class": label.lowering, "cx": f"{x - 9:g}", "cy": f"{here - 4:g}", "r": "4"})
        add_text(root, x, here, label.text, "label chosen-text" if label.chosen else "label")


def _mark(root: Element, point: Point, x: float, y: float) -> None:
    """A circle for nchw, a square for chnw; the chosen one with a rim."""
    kind = f"{point.lowering} chosen" if point.chosen else point.lowering
    if point.layout == "nchw":
        SubElement(root, "circle", {"class": kind, "cx": f"{x:g}", "cy": f"{y:g}", "r": "4.5"})
    else:
        place = {"x": f"{x - 4:g}", "y": f"{y - 4:g}", "width": "8", "height": "8"}
        SubElement(root, "rect", {"class": kind, **place})
