"""Which batch size to take: what was measured decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Seconds that any batch costs beside its computing: two messages, two wakings. Measured on two cores at 0.2 to 0.4 ms.
OVERHEAD = 0.0003


@dataclass(frozen=True)
class Gears:
    """The batch sizes of an artifact on a device.

    Args:
        seconds: batch size -> seconds that it takes, measured at start.
        free: whether smaller batches than a gear need not be filled up.
    """

    seconds: Mapping[int, float]
    free: bool = False

    @property
    def best(self) -> int:
        """The gear with the most pictures a second; the smaller of equals, which waits less."""
        return max(sorted(self.seconds), key=lambda gear: gear / self._cost(gear))

    @property
    def largest(self) -> int:
        """The most rows of one batch."""
        return max(self.seconds)

    def choose(self, waiting: int) -> int:
        """The gear that answers the most of ``waiting`` rows a second; of equals the one that takes more of them."""
        return max(sorted(self.seconds, reverse=True), key=lambda gear: min(waiting, gear) / self._cost(gear))

    def _cost(self, gear: int) -> float:
        return OVERHEAD + self.seconds[gear]

    def fed(self, gear: int, rows: int) -> int:
        """What is run for ``rows`` rows in this gear."""
        return rows if self.free else gear
