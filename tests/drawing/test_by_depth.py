"""A figure of each node: its numbers stand where they belong, what has no place is said, the worst is named."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from neonext_ascend.drawing.by_depth import draw_by_depth
from neonext_ascend.drawing.style import BLUE, PINK
from tests.support.pictures import SVG, marks_of, texts_of

NAMES = ["first", "second", "third", "fourth"]


def test_errors_stand_at_the_height_of_their_logarithm() -> None:
    drawn = draw_by_depth("errors", NAMES, {"the file": [1e-6, 1e-4, None, 1e-2]}, label="error", error=True)
    # The last mark is the legend's.
    (x0, y0), (x1, y1), (x3, y3) = sorted(marks_of(drawn, BLUE))[-3:]
    assert y0 - y1 == pytest.approx(y1 - y3, abs=0.01)
    assert (x3 - x1) == pytest.approx(2 * (x1 - x0), abs=0.01)
    assert any(text.startswith("fourth: 0.01") for text in texts_of(drawn))


def test_headroom_below_0_is_below_the_line() -> None:
    drawn = draw_by_depth("room", NAMES, {"fp16": [12.0, -2.0, math.inf, 3.0]}, label="bits", limit=0.0)
    lines = [e for e in ElementTree.fromstring(drawn).iter(f"{SVG}path") if f"stroke: {PINK}" in e.get("style", "")]
    (line,) = lines
    level = float(re.findall(r"[\d.]+", line.attrib["d"])[1])
    heights = [y for _, y in sorted(marks_of(drawn, BLUE))[-3:]]
    assert [height > level for height in heights] == [False, True, False]
    assert any(text.startswith("second: -2") for text in texts_of(drawn))


@pytest.mark.parametrize("values", [[0.0] * 4, [None] * 4, [math.nan] * 4])
def test_nothing_to_draw_is_said(values: list[float | None]) -> None:
    drawn = draw_by_depth("errors", NAMES, {"the file": values}, label="error", error=True)
    assert "the file: none above 0" in texts_of(drawn)
    assert "no number" in (ElementTree.fromstring(drawn).findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize("error", [False, True])
def test_any_numbers_can_be_drawn(error: bool) -> None:
    for values in ([1e-320, 1e308] if error else [-2e3, 2e3], [1.0, 1.0], [5.0], [], [-3.0, -3.0]):
        assert draw_by_depth("it", [str(v) for v in values], {"x": values}, label="y", limit=0, error=error)


def test_a_long_name_keeps_its_end_and_is_harmless() -> None:
    name = "a" * 100 + "<b>$x$\x00.end"
    drawn = draw_by_depth("it", [name, "b"], {"x<i>": [1.0, 0.5]}, label="y", error=True)
    shown = next(text for text in texts_of(drawn) if ".end: 1" in text)
    assert shown.startswith("...a")
    assert "<b>$x$\N{REPLACEMENT CHARACTER}.end" in shown
    assert "x<i>" in texts_of(drawn)
