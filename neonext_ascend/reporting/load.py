"""What servers did under a load, in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from neonext_ascend.reporting.latency import unfinished_words
from neonext_ascend.reporting.words import LETTERS, WIDTH, digits
from neonext_ascend.timing.entry import Entry
from neonext_ascend.timing.latency import CONFIDENCE
from neonext_ascend.timing.load import LoadEntry, LoadSitting

_KINDS = {
    "429": "HTTP 429 (queue full)",
    "503": "HTTP 503 (not now)",
    "504": "HTTP 504 (deadline)",
    "connection": "connection lost",
}


def load_lines(entries: Sequence[Entry]) -> list[str]:
    """How servers were asked, then what each did: answers a second with their interval, errors, this side's part."""
    loads = [entry for entry in entries if isinstance(entry, LoadEntry)]
    lines = [loads[0].load.words()]
    for letter, entry in zip(LETTERS, loads, strict=False):
        told = entry.to_json()
        low, high = (digits(told["intervals"]["answers_per_second"][side]) for side in ("low", "high"))
        interval = f"{100 * CONFIDENCE:g} % interval {low} to {high}"
        images = f", {digits(entry.images_per_second)} images/s" if entry.of.batch > 1 else ""
        late = "" if entry.load.rate is None else f"; 99 % sent at most {digits(told['sent_late_ms']['p99'])} ms late"
        text = (
            f"{letter}: {digits(entry.answers_per_second)} answers/s ({interval}){images}, "
            f"errors: {errors_words(entry.errors) or 'none'}; this side took {entry.client:.2f} of a core{late}"
        )
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="   ")
    return lines


def sittings_words(sittings: Sequence[LoadSitting], of: int) -> str:
    """Of a measurement that ended early."""
    seconds = [latency for sitting in sittings for latency in sitting.latencies]
    speed = sum(sitting.answered for sitting in sittings) / math.fsum(sitting.span for sitting in sittings)
    return unfinished_words(len(sittings), of, f"{digits(speed)} answers/s", seconds)


def errors_words(errors: Mapping[str, int]) -> str:
    """``HTTP 503 (not now): 469, connection lost: 288``; empty without errors."""
    names = {kind: _KINDS.get(kind, f"HTTP {kind}" if kind.isdigit() else kind) for kind in errors}
    return ", ".join(f"{names[kind]}: {count}" for kind, count in errors.items())
