"""Which batch size to take: what was measured decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

# Seconds that any batch costs beside its computing: two messages, two wakings. Measured on two cores at 0.2 to 0.4 ms,
# less where the next batch is there already.
OVERHEAD = 0.0002
ENOUGH = 0.95  # of the most rows a second: a smaller gear that gives so many is taken, since its rows wait less


@dataclass(frozen=True)
class Gears:
    """The batch sizes of an artifact on a device.

    Args:
        seconds: batch size -> seconds that it takes, measured at start.
        free: whether smaller batches than a gear need not be filled up.
    """

    seconds: Mapping[int, float]
    free: bool = False

    @cached_property
    def best(self) -> int:
        """The gear for as many rows as one could wish."""
        return self.choose(self.largest)

    @cached_property
    def largest(self) -> int:
        """The most rows of one batch."""
        return max(self.seconds)

    @cached_property
    def slowest(self) -> float:
        """Seconds of the batch that takes longest."""
        return max(self.seconds.values())

    def choose(self, waiting: int) -> int:
        """The smallest gear that answers about the most of ``waiting`` rows a second."""
        return self._chosen[min(waiting, self.largest)]

    @cached_property
    def _chosen(self) -> Sequence[int]:
        """For each number of rows; it is asked with each request."""
        return [self._choose(waiting) for waiting in range(self.largest + 1)]

    def _choose(self, waiting: int) -> int:
        rates = {gear: min(waiting, gear) / self._cost(gear) for gear in self.seconds}
        return min(gear for gear, rate in rates.items() if rate >= ENOUGH * max(rates.values()))

    def _cost(self, gear: int) -> float:
        return OVERHEAD + self.seconds[gear]

    def holding(self, rows: int) -> int:
        """The quickest gear of those that hold so many rows."""
        return min((gear for gear in self.seconds if gear >= rows), key=self.seconds.__getitem__)

    def fed(self, gear: int, rows: int) -> int:
        """What is run for ``rows`` rows in this gear."""
        return rows if self.free else gear
