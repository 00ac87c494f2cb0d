"""What a benchmark leaves: bounds that hold or not, one JSON document, an exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

MISSED = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure and what it must be."""

    what: str
    value: float
    relation: Literal["at most", "at least"]
    limit: float

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.value <= self.limit if self.relation == "at most" else self.value >= self.limit

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return f"{verdict:6}  {self.what}: {self.value:.3f}, {self.relation} {self.limit:g}"


def conclude(
    benchmark: str,
    machine: dict[str, Any],
    figures: dict[str, Any],
    bounds: Sequence[Bound],
    json_file: Path | None,
) -> int:
    """Print the bounds, write the document where asked for, and give the exit code: 1 where a bound is missed."""
    print()
    for bound in bounds:
        print(bound)
    holds = all(bound.holds for bound in bounds)
    if json_file is not None:
        document = {
            "benchmark": benchmark,
            "machine": machine,
            "figures": figures,
            "bounds": [{**asdict(bound), "holds": bound.holds} for bound in bounds],
            "holds": holds,
        }
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if holds else MISSED


def positive(text: str) -> int:
    """An argument that counts something.

    Raises:
        argparse.ArgumentTypeError: it is no whole number of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)
