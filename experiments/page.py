"""docs/experiments.md: the parts of it that are made of figures, and the figures, committed beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PAGE, DATA, IMAGES = DOCS / "experiments.md", DOCS / "data", DOCS / "images"


def keep(name: str, document: Mapping[str, Any], lines: Sequence[str]) -> None:
    """Put the figures into ``docs/data/NAME.json``, and these lines into the page's part of that name."""
    (DATA / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), name, lines), encoding="utf-8")


def kept(name: str) -> dict[str, Any]:
    """The committed figures of an experiment."""
    document: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return document


def renewed(text: str, name: str, lines: Sequence[str]) -> str:
    """The page with these lines between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, _, rest = text.partition(begin)
    return before + begin + "".join(f"{line}\n" for line in lines) + end + rest.partition(end)[2]
