"""Magnitudes of a value as counts: as many numbers as one likes in 16 KiB, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BINS = 2048


@dataclass
class Histogram:
    """How many magnitudes lie in each of :data:`BINS` equal bins from 0 on; the bins double in width when they must.

    A width is a power of two times the smallest, so that doubling adds pairs and loses nothing but resolution: between
    half of the bins and all of them are in use.

    Attributes:
        largest: magnitude.
        width: of a bin; 0 before the first number that is not 0.
        counts: of the bins.
    """

    largest: float = 0.0
    width: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: NDArray[np.float32]) -> None:
        """Count these numbers."""
        magnitudes = np.abs(values).reshape(-1)
        largest = float(magnitudes.max(initial=0.0))
        if not (math.isfinite(largest) and math.isfinite(self.largest)):
            self.largest = math.inf  # of what holds no number nothing is counted
            return
        self.largest = max(self.largest, largest)
        if self.largest == 0.0:
            self.counts[0] += magnitudes.size
            return
        if self.width == 0.0:
            # Its inverse is a float32 too.
            self.width = max(2.0 ** math.floor(math.log2(self.largest)) / BINS, 2.0**-126)
        while self.largest >= self.width * BINS:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            self.width *= 2.0
        magnitudes *= np.float32(1.0 / self.width)  # a power of two: exact
        self.counts += np.bincount(magnitudes.astype(np.int32), minlength=BINS)[:BINS]

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middles of the bins."""
        return np.asarray((np.arange(BINS) + 0.5) * self.width, np.float64)

    def quantile(self, share: float) -> float:
        """A magnitude that this share of the numbers does not exceed; at most a bin above the smallest one."""
        wanted = share * int(self.counts.sum())
        place = int(np.searchsorted(np.cumsum(self.counts), wanted - 1e-9 * max(wanted, 1.0)))
        return min((place + 1) * self.width, self.largest)
