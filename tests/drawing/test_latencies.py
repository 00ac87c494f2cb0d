"""Latencies as a plot: every run where it belongs, within the frame, at any range."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from neonext_ascend.drawing.latencies import MOST_DOTS, draw_latencies
from neonext_ascend.drawing.style import BLUE
from tests.support.pictures import marks_of, texts_of


@pytest.mark.parametrize(
    "seconds",
    [
        [[0.001, 0.002, 0.004], [0.0012]],
        [[1e-5] * 3, [10.0] * 3],
        [[0.5], [0.5]],
        [list(np.linspace(0.0994, 0.1003, 1000)), [0.1]],
    ],
    ids=["linear", "logarithmic", "one value", "narrow"],
)
def test_a_drawing_keeps_within_its_frame_and_its_axis_has_ticks(seconds: list[list[float]]) -> None:
    drawn = draw_latencies(["A", "B"], seconds, "a machine")
    width, height = (float(ElementTree.fromstring(drawn).attrib[name]) for name in ("width", "height"))
    marks = marks_of(drawn, BLUE)
    assert len(marks) >= 2
    assert all(0 <= x <= width and 0 <= y <= height for x, y in marks)
    ticks = [float(text) for text in texts_of(drawn) if text.replace(".", "").isdigit()]
    assert len(ticks) >= 3
    assert ticks == sorted(set(ticks))
    assert ("logarithmic" in drawn) == (max(map(max, seconds)) > 8 * min(map(min, seconds)))


def test_dots_stand_where_their_milliseconds_are() -> None:
    # Evenly spaced runs are evenly spaced dots, and the second row lies below the first.
    drawn = draw_latencies(["A", "B"], [[0.001, 0.002, 0.003], [0.002]], "a machine")
    first, second = marks_of(drawn, BLUE)[:3], marks_of(drawn, BLUE)[3:]
    left, middle, right = (x for x, _ in first)
    assert middle - left == pytest.approx(right - middle, abs=1e-3)  # coordinates have six decimals
    assert second[0][0] == pytest.approx(middle, abs=1e-3)
    assert second[0][1] > max(y for _, y in first) + 30


def test_runs_beyond_the_axis_are_counted_in_words_and_dots_have_a_bound() -> None:
    runs = [0.001 + 1e-7 * i for i in range(2000)] + [1.0] * 5
    drawn = draw_latencies(["A"], [runs], "a machine")
    (note,) = [text for text in texts_of(drawn) if "beyond" in text]
    assert note.startswith("21 of 2005 runs beyond 1.2")
    assert len(marks_of(drawn, BLUE)) <= MOST_DOTS
