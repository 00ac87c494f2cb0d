"""What a benchmark leaves: bounds that hold or not, one JSON document, an exit code."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

MISSED = 1
_START = time.monotonic()


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
            "arguments": _without_json(sys.argv[1:]),
            "seconds": round(time.monotonic() - _START, 1),
            "machine": machine,
            "figures": rounded(figures),
            "bounds": [{**rounded(asdict(bound)), "holds": bound.holds} for bound in bounds],
            "holds": holds,
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if holds else MISSED


def rounded(value: Any) -> Any:
    """Every float in it with six digits: more would only be noise in a committed file."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def parser_for(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(prog=f"benchmarks.measure.{name}", description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repeats: a trial, its figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write one JSON document")
    return parser


def positive(text: str) -> int:
    """An argument that counts something.

    Raises:
        argparse.ArgumentTypeError: it is no whole number of at least 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def _without_json(arguments: Sequence[str]) -> list[str]:
    """The command's arguments but for where it wrote."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--json" and not argument.startswith("--json="):
            kept.append(argument)
        skip = argument == "--json"
    return kept
