"""The roofline: its panels, and points on the roof where memory decides and below it where padding does."""

from __future__ import annotations

import math
import re

import pytest

from neonext_ascend.drawing.roofline import COLOURS, Point, Roof, draw_roofline
from neonext_ascend.drawing.style import EDGE
from neonext_ascend.spec import LOWERINGS
from tests.support.pictures import marks_of, shapes_of, texts_of

ROOF = Roof(1e12, 1e11, "a peak", "a bandwidth")


def roof_of(svg: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The slope of the first panel: its ends in pixels."""
    (line, *_) = [n for tag, style, n in shapes_of(svg) if tag == "path" and EDGE in style and len(n) == 6]
    return (line[0], line[1]), (line[2], line[3])


def test_a_point_lies_on_the_roof_where_memory_decides_and_below_where_padding_does() -> None:
    points = [Point(1, 1, "nchw", "blockdiag", True, 2.0, 2e11), Point(1, 1, "nchw", "kron", False, 2.0, 1e10)]
    drawn = draw_roofline("a", "b", ROOF, points)
    (x1, y1), (x2, y2) = roof_of(drawn)

    def below(lowering: str) -> float:
        # The legend's mark stands above the panel.
        (x, y) = max(marks_of(drawn, COLOURS[lowering]), key=lambda place: place[1])
        return y - (y1 + (x - x1) / (x2 - x1) * (y2 - y1))

    assert abs(below("blockdiag")) < 0.01  # coordinates have six decimals
    # A twentieth of the speed, in the axis' decades.
    decade = (y1 - y2) / math.log10(ROOF.peak / (ROOF.bandwidth * 1.0))
    assert below("kron") == pytest.approx(math.log10(20) * decade, rel=1e-3)


def test_each_batch_and_stage_has_its_panel_and_names_its_choice() -> None:
    points = [
        Point(batch, stage, "chnw", "packed", stage == 2, 1.0 + stage, 1e11) for batch in (8, 1) for stage in (1, 2, 3)
    ]
    texts = texts_of(draw_roofline("a network", "how", ROOF, points))
    assert [t for t in texts if re.fullmatch(r"stage \d", t)] == ["stage 1", "stage 2", "stage 3"]
    assert [t for t in texts if re.fullmatch(r"batch \d", t)] == ["batch 1", "batch 8"]
    assert texts.count("packed, chnw") == 2
    assert {"a network", "how", "roof: a peak; its slope: a bandwidth"} <= set(texts)
    # Only what is drawn is explained.
    assert {"packed", "in nchw", "in chnw", "chosen"} <= set(texts)
    assert "kron" not in texts


def test_every_lowering_has_a_colour() -> None:
    assert set(COLOURS) == set(LOWERINGS)
