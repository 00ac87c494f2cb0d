"""What is wrong with labelled pictures, counted before anything is learnt from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.images.decoding import glance
from neonext_ascend.training.sources.entries import Entry, Listed, Source, decoded

_WHOLE = 2_000  # pictures of a data set that is decoded at the start of every run
_GLANCES = 20_000  # of a larger one that are looked at
_SHOWN = 3


@dataclass(frozen=True)
class Census:
    """What a data set holds.

    Args:
        name: of the data set.
        classes: pictures for training of each class.
        held_out: pictures to measure on.
        said: how the two parts came about.
        looked: what was looked at, in words.
        missing: names of pictures that are not there.
        corrupt: names of pictures that cannot be read, with the error.
    """

    name: str
    classes: dict[str, int]
    held_out: int
    said: str
    looked: str
    missing: tuple[str, ...]
    corrupt: tuple[tuple[str, str], ...]

    @property
    def training(self) -> int:
        """Pictures for training."""
        return sum(self.classes.values())

    @property
    def empty(self) -> tuple[str, ...]:
        """Classes without a picture."""
        return tuple(name for name, count in self.classes.items() if not count)

    @property
    def problems(self) -> list[str]:
        """Each in words with its count."""
        found = []
        if len(self.classes) < 2:
            found.append(f"{counted(len(self.classes), 'class')}; a classifier needs two or more")
        for thing, what, names in (
            ("class", "without a picture", self.empty),
            ("picture", "missing", self.missing),
            ("picture", "that cannot be read", tuple(f"{name} ({error})" for name, error in self.corrupt)),
        ):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                found.append(f"{counted(len(names), thing)} {what}: {', '.join(names[:_SHOWN])}{more}")
        return found

    def refuse_problems(self) -> None:
        """Raise where there is one.

        Raises:
            UsageError: says all of them.
        """
        if self.problems:
            raise UsageError(f"{self.name}: {'; '.join(self.problems)}")

    def line(self) -> str:
        """The data set in a line."""
        counts = sorted(self.classes.values()) or [0]
        each = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
        return (
            f"{self.name}: {counted(self.training, 'picture')} of {counted(len(self.classes), 'class')} "
            f"({each} a class), {self.held_out:,} held out ({self.said}); {self.looked}"
        )

    def to_json(self) -> dict[str, Any]:
        """The object of ``train --check-data --json``."""
        return {
            "data": self.name,
            "training": self.training,
            "held_out": self.held_out,
            "classes": self.classes,
            "empty": list(self.empty),
            "missing": list(self.missing),
            "corrupt": [{"path": name, "error": error} for name, error in self.corrupt],
            "looked": self.looked,
        }


def take_census(source: Source, whole: bool = False, tell: Callable[[str], None] = lambda _: None) -> Census:
    """Count and look: small sets are decoded, of large ones some heads are read.

    Args:
        source: the pictures.
        whole: decode every picture, however many there are.
        tell: takes the progress.

    Raises:
        FileAccessError: a shard cannot be read.
    """
    counts = source.training.counts
    classes = {name: counts[number] for number, name in enumerate(source.classes)}
    parts = [part for part in (source.training, source.held_out) if part is not None]
    total = sum(sum(part.counts.values()) for part in parts)
    missing, corrupt = [], []
    entries, look, looked = _plan(parts, total, whole)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for done, (entry, error) in enumerate(_in_turn(pool, entries, look), 1):
            if error is not None:
                if isinstance(entry.held, Path) and not entry.held.exists():
                    missing.append(entry.name)
                else:
                    corrupt.append((entry.name, str(error).partition(": ")[2]))
            if done % 100 == 0:
                tell(f"{done:,} of {total:,} pictures")
    held_out = total - counts.total()
    return Census(source.name, classes, held_out, source.said, looked, tuple(missing), tuple(corrupt))


def _plan(parts: list[Any], total: int, whole: bool) -> tuple[Iterator[Entry], Callable[[Entry], None], str]:
    """What is looked at, how, and in words."""
    if whole or (total <= _WHOLE and all(isinstance(part, Listed) for part in parts)):
        return chain.from_iterable(part.plain() for part in parts), _decode, "all were decoded"
    # A shard's pictures would have to be streamed; its heads were read when it was opened.
    listed = [part for part in parts if isinstance(part, Listed)]
    if all(isinstance(part.entries[0].held, np.ndarray) for part in listed):
        return (
            iter(()),
            _glance,
            "all are in memory" if listed else "the shards' heads were read; --check-data decodes all",
        )
    step = -(-total // _GLANCES)
    seen = -(-sum(len(part.entries) for part in listed) // step)
    words = f"the heads of {seen:,} were read; --check-data decodes all"
    return chain.from_iterable(part.plain(0, step) for part in listed), _glance, words


def _in_turn(
    pool: ThreadPoolExecutor, entries: Iterator[Entry], look: Callable[[Entry], None]
) -> Iterator[tuple[Entry, NeoNextError | None]]:
    """Each entry with its error, a bounded number ahead."""

    def looked(entry: Entry) -> tuple[Entry, NeoNextError | None]:
        try:
            look(entry)
        except (UsageError, FileAccessError) as error:
            return entry, error
        return entry, None

    while ahead := list(islice(entries, 256)):
        yield from pool.map(looked, ahead)


def _decode(entry: Entry) -> None:
    decoded(entry)


def _glance(entry: Entry) -> None:
    if isinstance(entry.held, Path):
        glance(entry.held)
