"""Pieces of the benchmark page: tables, numbers in words, and where and how everything was measured."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure.machine import machine_text
from benchmarks.sections import Document

Figures = Mapping[str, Any]
LINE, _SPACE = 118, "\0"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return [*("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows)), ""]


def paragraph(text: str) -> list[str]:
    """Broken into lines, with an empty one behind."""
    return [*wrapped(text), ""]


def wrapped(text: str, indent: str = "") -> list[str]:
    """Broken into lines, never inside a code span; lines behind the first are indented."""
    whole = re.sub(r"`[^`]*`", lambda span: span[0].replace(" ", _SPACE), text)
    options: Any = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": indent}
    return [line.replace(_SPACE, " ") for line in textwrap.wrap(whole, LINE, **options)]


def spread(found: Mapping[str, float] | None, digits: int = 2) -> str:
    """Median and the middle half."""
    if found is None:
        return ""
    median, lower, upper = (f"{found[key]:.{digits}f}" for key in ("median", "lower", "upper"))
    return f"{median} ({lower} to {upper})"


def milliseconds(seconds: float) -> str:
    """With three digits."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def percent(share: float) -> str:
    """Whole percents."""
    return f"{100 * share:.0f} %"


def cpu_text(machine: Mapping[str, Any]) -> str:
    """The CPU by name and number: virtual machines often tell only half of the name."""
    return f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']})"


def picture(file: str, what: str) -> list[str]:
    """A plot of this page."""
    return [f"![{what}](images/{file})", ""]


def head(documents: Mapping[str, Document]) -> list[str]:
    """What the page is, and the machines."""
    lines = [
        "# Benchmarks",
        "",
        *paragraph(
            "Made by `make bench`, which measures everything here on the machine it runs on and writes this page and "
            "its plots from the JSON files that the measurements leave in `benchmarks/results/`. Times are wall time. "
            "What is compared runs in turns (A B A B) in one process; times are medians, ratios are medians of the "
            "pairwise ratios, and in brackets stands the middle half of the samples."
        ),
    ]
    if any(document["figures"].get("quick") for document in documents.values()):
        lines += ["**A trial run (`--quick`): few repeats, its figures mean nothing.**", ""]
    machines: dict[str, list[str]] = {}
    for name, document in documents.items():
        machine = {**document["machine"], "load": "x"}
        machines.setdefault(machine_text(machine).replace(", load x", ""), []).append(name)
    for text, names in machines.items():
        where = "" if len(machines) == 1 else f" ({', '.join(names)})"
        lines += paragraph(f"Machine{where}: {text}.".replace("\n", "; "))
    return lines


def bounds(documents: Mapping[str, Document]) -> list[str]:
    """What was asked for, and whether it holds."""
    every = [bound for document in documents.values() for bound in document["bounds"]]
    if not every:
        return []
    held = sum(bound["holds"] for bound in every)
    rows = [
        [
            bound["what"],
            f"{bound['value']:.3g}",
            f"{bound['relation']} {bound['limit']:g}",
            "holds" if bound["holds"] else "**missed**",
        ]
        for bound in every
    ]
    lines = ["## What must hold", "", f"{held} of {len(every)} bounds hold.", ""]
    return [*lines, *table(["figure", "measured", "bound", ""], rows)]


def commands(documents: Mapping[str, Document]) -> list[str]:
    """How each section was run."""
    rows = []
    for name, document in documents.items():
        command = " ".join([f"python -m benchmarks.measure.{name}", *document["arguments"]])
        rows.append([f"`{command}`", f"{document['seconds']:.0f}", f"{document['machine']['load']:g}"])
    total = sum(document["seconds"] for document in documents.values())
    lines = [
        "## How it was run",
        "",
        f"{total / 60:.0f} minutes in all. Load: jobs ready to run in the minute before.",
        "",
    ]
    return [*lines, *table(["command", "seconds", "load at start"], rows)]
