"""The pictures of these measurements, as folders with one for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neonext_ascend.training.sources.digits import read
from tests.support import digits


def spread(total: int, count: int) -> list[int]:
    """So many places, evenly over all."""
    return [int(place) for place in np.unique(np.linspace(0, total - 1, min(count, total)))]


def training_digits(folder: Path, count: int) -> Path:
    """Digits that neonext_nano was trained on, as they are."""
    entries = [entry for entry in read().training.plain() if "enlarged" not in entry.name]
    chosen = [entries[place] for place in spread(len(entries), count)]
    pixels = np.stack([np.asarray(entry.held, np.uint8) for entry in chosen])
    return digits.write((pixels, np.array([entry.label for entry in chosen])), folder)


def held_out(folder: Path) -> Path:
    """The 360 that it was not trained on."""
    return digits.write(digits.held_out(), folder)


def mnist(folder: Path, count: int, skip: int = 0) -> Path:
    """Of MNIST's subset so many, evenly over it; ``skip`` moves each place on, for others than without it."""
    pixels, labels = digits.mnist()
    places = [(place + skip) % len(pixels) for place in spread(len(pixels), count)]
    return digits.write((pixels[places], labels[places]), folder)
