"""Latencies in words: a table, and a line for each ratio."""

from __future__ import annotations

import math
import string
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from neonext_ascend.reporting.words import WIDTH
from neonext_ascend.timing.entry import Entry
from neonext_ascend.timing.latency import CONFIDENCE, Ratio
from neonext_ascend.timing.load import LoadEntry

# Each contender is a letter in words.
LETTERS = string.ascii_uppercase
_KINDS = {
    "429": "429 (queue full)",
    "503": "503 (not now)",
    "504": "504 (deadline)",
    "connection": "without a connection",
}


def machine_lines(machine: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    """The machine and the versions, broken at :data:`WIDTH`."""
    cores = f"{machine['cores']} core" + ("" if machine["cores"] == 1 else "s")
    what = f"{machine['cpu']}, {cores}, governor {machine['governor'] or 'unknown'}"
    if machine["load"] is not None:
        what += f", load {machine['load']:.1f}"
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [line for text in (what, libraries) for line in textwrap.wrap(text, WIDTH)]


def labels(entries: Sequence[Entry], width: int = WIDTH) -> list[str]:
    """``A  artifacts/neonext_t-224-b1-fp32.onnx`` for each; of a long path the end, which tells more."""
    lines = []
    for letter, entry in zip(LETTERS, entries, strict=False):
        name, room = entry.of.name, width - 3
        lines.append(f"{letter}  {name if len(name) <= room else '...' + name[3 - room :]}")
    return lines


def latency_table(entries: Sequence[Entry]) -> list[str]:
    """What each letter is, then the figures, aligned and at most :data:`WIDTH` wide."""
    rows: list[tuple[str, ...]] = [("", "dtype", "batch", "runs", *entries[0].timing.summary(), "images/s")]
    for letter, entry in zip(LETTERS, entries, strict=False):
        latencies = [_digits(1e3 * seconds) for seconds in entry.timing.summary().values()]
        runs = str(len(entry.timing.seconds))
        rows.append((letter, entry.of.dtype, str(entry.of.batch), runs, *latencies, _digits(entry.images_per_second)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        " ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    named = [text for label, e in zip(labels(entries), entries, strict=True) for text in (label, f"   {e.of.where}")]
    return [*named, "", "latency of one run in milliseconds", *table]


def load_lines(entries: Sequence[Entry]) -> list[str]:
    """How servers were asked, then what each did: answers a second with their interval, errors, this side's part."""
    loads = [entry for entry in entries if isinstance(entry, LoadEntry)]
    lines = [loads[0].load.words()]
    for letter, entry in zip(LETTERS, loads, strict=False):
        told = entry.to_json()
        low, high = (told["intervals"]["answers_per_second"][side] for side in ("low", "high"))
        kinds = ", ".join(f"{count} {_KINDS.get(kind, kind)}" for kind, count in entry.errors.items())
        interval = f"{100 * CONFIDENCE:g} % interval {low:.0f} to {high:.0f}"
        late = "" if entry.load.rate is None else f"; 99 % sent at most {_digits(told['sent_late_ms']['p99'])} ms late"
        text = (
            f"{letter}: {entry.answers_per_second:.0f} answers a second ({interval}), "
            f"errors: {kinds or 'none'}; this side took {entry.client:.2f} of a core{late}"
        )
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="   ")
    return lines


def ratio_lines(entries: Sequence[Entry]) -> list[str]:
    """``B / A: 0.93 (95 % interval 0.91 to 0.95)`` for each but the first."""
    lines = []
    for letter, entry in zip(LETTERS, entries, strict=False):
        if entry.ratio is not None:
            middle, low, high = _ratio_digits(entry.ratio)
            verdict = "" if entry.ratio.differs else ": no difference seen"
            interval = f"{100 * CONFIDENCE:g} % interval {low} to {high}"
            batches = "" if entry.of.batch == entries[0].of.batch else "; of whole runs, batches differ"
            lines.append(f"{letter} / {LETTERS[0]}: {middle} ({interval}{batches}){verdict}")
    return lines


def _digits(number: float) -> str:
    """Three or more significant digits."""
    return f"{number:.{max(0, 2 - math.floor(math.log10(number))) if number < 100 else 0}f}" if number > 0 else "0"


def _ratio_digits(ratio: Ratio) -> tuple[str, str, str]:
    """As many decimals as the interval's width deserves, and enough that a bound beside 1 does not read 1."""
    numbers = (ratio.median, ratio.low, ratio.high)
    for decimals in range(1 if ratio.high - ratio.low > 1 else 2, 6):
        texts = tuple(f"{number:.{decimals}f}" for number in numbers)
        shown = tuple(map(float, texts))
        if ratio.high - ratio.low >= 10.0**-decimals and (shown[1] <= 1 <= shown[2]) != ratio.differs:
            break
    return texts[0], texts[1], texts[2]
