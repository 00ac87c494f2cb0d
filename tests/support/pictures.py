"""What a picture shows, read back from its SVG."""

from __future__ import annotations

import re
from operator import sub
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_PLACED = ("d", "x", "y", "width", "height", "transform")


def texts_of(svg: str) -> list[str]:
    """Every line of text, in the order of drawing."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def shapes_of(svg: str) -> list[tuple[str, str, list[float]]]:
    """Each element with its looks and its coordinates in pixels."""
    return [
        (element.tag.removeprefix(SVG), element.get("style", ""), _numbers(element))
        for element in ElementTree.fromstring(svg).iter()
        if element.tag != f"{SVG}style"
    ]


def assert_same_picture(committed: str, drawn: str) -> None:
    """The same words and shapes in the same looks and places.

    Not the same bytes: matplotlib 3.10 and 3.11 measure text by up to 0.8 pixels otherwise, and who has another version
    than the one that drew the committed file should still see whether it is current.
    """
    assert texts_of(committed) == texts_of(drawn)
    ours, theirs = shapes_of(committed), shapes_of(drawn)
    assert [shape[:2] for shape in ours] == [shape[:2] for shape in theirs]
    assert [len(numbers) for *_, numbers in ours] == [len(numbers) for *_, numbers in theirs]
    for (*_, a), (*_, b) in zip(ours, theirs, strict=True):
        assert max(map(abs, map(sub, a, b)), default=0) <= 1, (a, b)


def marks_of(svg: str, colour: str) -> list[tuple[float, float]]:
    """Where the marks filled with this colour stand, in pixels from the upper left corner."""
    root = ElementTree.fromstring(svg)
    return [
        (float(use.attrib["x"]), float(use.attrib["y"]))
        for use in root.iter(f"{SVG}use")
        if f"fill: {colour}" in use.get("style", "")
    ]


def _numbers(element: Element) -> list[float]:
    return [float(number) for name in _PLACED for number in _NUMBER.findall(element.get(name, ""))]
