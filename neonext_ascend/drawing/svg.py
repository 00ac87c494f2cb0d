"""What our plots have in common: colours for light and dark pages, texts and lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

# selector, property, light colour, dark colour
Style = tuple[str, str, str, str]
PAGE_STYLES: tuple[Style, ...] = (
    (".page", "fill", "#ffffff", "#0d1117"),
    ("text", "fill", "#1f2328", "#f0f6fc"),
    (".soft", "fill", "#59636e", "#9198a1"),
    (".grid", "stroke", "#d8dee4", "#30363d"),
    (".axis", "stroke", "#818b98", "#9198a1"),
)
_FONTS = (
    "text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }\n"
    ".title { font-size: 16px; font-weight: 600; }\n"
    ".soft { font-size: 12px; }\n"
)


def style_sheet(styles: Sequence[Style], fixed: str) -> str:
    """The text of ``<style>``: fonts, ``fixed``, and the colours, which follow the reader's colour scheme."""
    light = "".join(f"{selector} {{ {name}: {colour}; }}\n" for selector, name, colour, _ in styles)
    dark = "".join(f"{selector} {{ {name}: {colour}; }}\n" for selector, name, _, colour in styles)
    return f"\n{_FONTS}{fixed}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def add_text(root: Element, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> Element:
    """A line of text at ``x``, ``y`` in pixels."""
    element = SubElement(root, "text", {"class": kind, "x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor})
    element.text = clean(text)
    return element


def add_line(root: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    """A straight line, in pixels."""
    SubElement(root, "line", {"class": kind, "x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"})


def clean(text: str) -> str:
    """Without what XML cannot hold even escaped: control characters and halves of surrogate pairs."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)
