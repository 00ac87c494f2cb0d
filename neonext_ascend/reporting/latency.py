"""Latencies in words: a table, and a line for each ratio."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neonext_ascend.errors import counted
from neonext_ascend.reporting.words import LETTERS, WIDTH, digits
from neonext_ascend.timing.entry import Entry
from neonext_ascend.timing.latency import CONFIDENCE, Ratio
from neonext_ascend.timing.load import LoadEntry


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
    # A server is asked for answers, each of a batch; its line tells the images.
    unit = "answers/s" if isinstance(entries[0], LoadEntry) else "images/s"
    rows: list[tuple[str, ...]] = [("", "dtype", "batch", "runs", *entries[0].timing.summary(), unit)]
    for letter, entry in zip(LETTERS, entries, strict=False):
        latencies = [digits(1e3 * seconds) for seconds in entry.timing.summary().values()]
        runs = str(len(entry.timing.seconds))
        speed = entry.answers_per_second if isinstance(entry, LoadEntry) else entry.images_per_second
        rows.append((letter, entry.of.dtype, str(entry.of.batch), runs, *latencies, digits(speed)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        " ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    named = [text for label, e in zip(labels(entries), entries, strict=True) for text in (label, f"   {e.of.where}")]
    return [*named, "", "latency of one run in milliseconds", *table]


def ratio_lines(entries: Sequence[Entry]) -> list[str]:
    """``B / A: 0.93 (95 % interval 0.91 to 0.95)`` for each but the first; of servers, below what it is of."""
    lines = ["latency, as the median of the sittings' ratios of p50"] if isinstance(entries[0], LoadEntry) else []
    for letter, entry in zip(LETTERS, entries, strict=False):
        if entry.ratio is not None:
            middle, low, high = _ratio_digits(entry.ratio)
            verdict = "" if entry.ratio.differs else ": no difference seen"
            interval = f"{100 * CONFIDENCE:g} % interval {low} to {high}"
            batches = "" if entry.of.batch == entries[0].of.batch else "; of whole runs, batches differ"
            lines.append(f"{letter} / {LETTERS[0]}: {middle} ({interval}{batches}){verdict}")
    return lines


def unfinished_words(sittings: int, of: int, speed: str, seconds: Sequence[float]) -> str:
    """Of a measurement that ended early: so many sittings, their speed, and the seconds of all their runs."""
    p50, p99 = (digits(1e3 * float(figure)) for figure in np.percentile(seconds, (50, 99)))
    return f"until then {sittings} of {counted(of, 'sitting')}: {speed}, p50 {p50} ms, p99 {p99} ms"


def _ratio_digits(ratio: Ratio) -> tuple[str, str, str]:
    """As many decimals as the interval's width deserves, and enough that a bound beside 1 does not read 1."""
    numbers = (ratio.median, ratio.low, ratio.high)
    for decimals in range(2, 6):
        texts = tuple(f"{number:.{decimals}f}" for number in numbers)
        shown = tuple(map(float, texts))
        if ratio.high - ratio.low >= 10.0**-decimals and (shown[1] <= 1 <= shown[2]) != ratio.differs:
            break
    return texts[0], texts[1], texts[2]
