"""The roofline of a file: points at their place, numbered as the list below, near ones with one label."""

from __future__ import annotations

import math

import pytest

from neonext_ascend.drawing.dearest import Mark, draw_dearest
from neonext_ascend.drawing.roofline import Roof
from neonext_ascend.drawing.style import BLUE, EDGE, ORANGE
from tests.support.pictures import marks_of, shapes_of, texts_of

ROOF = Roof(1e12, 1e11, "a peak", "a bandwidth")


def test_a_point_lies_on_the_slope_where_it_moves_at_the_bandwidth() -> None:
    marks = [Mark("a", "gelu", 1.0, 1e11, 0.6), Mark("b", "conv", 5.0, 1e11, 0.3)]
    drawn = draw_dearest("a file", ROOF, marks)
    (x1, y1, x2, y2, *_) = next(
        n for tag, style, n in shapes_of(drawn) if tag == "path" and EDGE in style and len(n) == 6
    )
    ((x, y),), ((_, other),) = marks_of(drawn, BLUE), marks_of(drawn, ORANGE)
    assert y == pytest.approx(y1 + (x - x1) / (x2 - x1) * (y2 - y1), abs=0.01)
    assert other == pytest.approx(y, abs=0.01)
    assert x2 - x == pytest.approx((x2 - x1) / math.log10(10 / 0.5), rel=1e-3)  # a decade before the ridge


def test_the_list_names_each_point_and_near_ones_share_a_label() -> None:
    marks = [Mark(name, "gelu", 1.0, speed, 0.3) for name, speed in (("a", 1e11), ("b", 1.01e11), ("c", 5e11))]
    texts = texts_of(draw_dearest("a $file$", ROOF, [*marks, Mark("d\n\x00", "conv", 9.0, 1e9, 0.1)]))
    assert {"1, 2", "3", "4", "gelu: a", "gelu: b", "gelu: c", "30.0%", "10.0%", "a $file$"} <= set(texts)
    assert any(text.startswith("conv: d") for text in texts)
