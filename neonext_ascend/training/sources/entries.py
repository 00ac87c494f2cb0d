"""What a source gives: entries, in a training part and one to measure on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.images.decoding import read_picture
from neonext_ascend.training.draws import generator_of

if TYPE_CHECKING:
    from PIL.Image import Image

# A file, its bytes, or pixels (H, W) or (H, W, 3).
Held = Path | bytes | NDArray[np.uint8]


class Entry(NamedTuple):
    """A picture before it is decoded.

    Args:
        name: for messages.
        held: what to decode.
        label: number of its class.
    """

    name: str
    held: Held
    label: int


class Part(Protocol):
    """Entries in an order."""

    @property
    def counts(self) -> Counter[int]:
        """Pictures of each class."""

    @property
    def digest(self) -> str:
        """The same for the same pictures by name and class."""

    def shuffled(self, seed: int, epoch: int, first: int = 0) -> Iterator[Entry]:
        """Each entry once, in the order of this seed and epoch, from the ``first`` on."""

    def plain(self, first: int = 0, step: int = 1) -> Iterator[Entry]:
        """In their own order, from the ``first`` on, each ``step``-th."""


@dataclass(frozen=True)
class Source:
    """Labelled pictures.

    Args:
        name: as the user calls it.
        classes: names by number.
        training, held_out: its parts; ``None`` where there is nothing to measure on.
        said: how the parts came about, in words.
    """

    name: str
    classes: tuple[str, ...]
    training: Part
    held_out: Part | None
    said: str


class Listed:
    """Entries that can be listed: files, or what is in memory."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries

    @property
    def counts(self) -> Counter[int]:
        """Pictures of each class."""
        return Counter(entry.label for entry in self.entries)

    @property
    def digest(self) -> str:
        """Of names and classes."""
        return digest_of((entry.name, entry.label) for entry in self.entries)

    def shuffled(self, seed: int, epoch: int, first: int = 0) -> Iterator[Entry]:
        """A permutation."""
        import torch

        order = torch.randperm(len(self.entries), generator=generator_of(seed, "order", epoch))
        return (self.entries[number] for number in order[first:].tolist())

    def plain(self, first: int = 0, step: int = 1) -> Iterator[Entry]:
        """As listed."""
        return iter(self.entries[first::step])


def digest_of(pairs: Iterator[tuple[str, int]]) -> str:
    """Of names and classes, hexadecimal."""
    digest = hashlib.sha256()
    for name, label in pairs:
        digest.update(f"{name}\0{label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def decoded(entry: Entry) -> Image:
    """The picture in RGB.

    Raises:
        FileAccessError, UsageError: it cannot be read.
    """
    if isinstance(entry.held, Path):
        return read_picture(entry.held).image
    if isinstance(entry.held, bytes):
        return read_picture(Path(entry.name), entry.held).image
    from PIL import Image

    return Image.fromarray(entry.held).convert("RGB")


def parted(entries: Sequence[Entry], share: float, seed: int) -> tuple[Listed, Listed | None]:
    """The last ``share`` of each class, in an order of the seed, held out: at least one picture stays for training."""
    if not share:
        return Listed(entries), None
    order = list(Listed(entries).shuffled(seed, -1))
    of_class = Counter(entry.label for entry in order)
    quota = {label: min(round(count * share), count - 1) for label, count in of_class.items()}
    held: set[str] = set()
    for entry in reversed(order):
        if quota[entry.label]:
            quota[entry.label] -= 1
            held.add(entry.name)
    inside = [entry for entry in entries if entry.name not in held]
    outside = [entry for entry in entries if entry.name in held]
    return Listed(inside), Listed(outside) if outside else None
