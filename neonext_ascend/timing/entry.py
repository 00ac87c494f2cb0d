"""Who is timed, and one contender's result among the others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.timing.latency import Opener, Ratio, Timing, ratio_between


@dataclass(frozen=True, slots=True)
class Contender:
    """Ready to be timed.

    Attributes:
        name: as the user wrote it.
        path: absolute, of a file; ``None`` for a model.
        dtype: in which it computes: an OM's precision, the input's of another file.
        batch: of the input.
        threads: in which it computes; ``None`` on an NPU.
        where: what computes, in words.
        open: opens it afresh, with a place in memory of its own, and gives a function that runs it once on noise.
    """

    name: str
    path: Path | None
    dtype: str
    batch: int
    threads: int | None
    where: str
    open: Opener


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender's result; ``ratio`` is against the first, ``None`` for the first."""

    of: Contender
    timing: Timing
    ratio: Ratio | None

    @property
    def images_per_second(self) -> float:
        """Images of all timed runs over their seconds."""
        return self.of.batch / self.timing.summary()["mean"]

    def to_json(self) -> dict[str, Any]:
        """By name; ``path`` is ``None`` for a model, ``threads`` on an NPU."""
        return {
            "name": self.of.name,
            "path": None if self.of.path is None else str(self.of.path),
            "dtype": self.of.dtype,
            "batch": self.of.batch,
            "threads": self.of.threads,
            "runtime": self.of.where,
            "warm_up_runs": self.timing.warm_up_runs,
            "runs": len(self.timing.seconds),
            "latency_ms": {name: 1e3 * seconds for name, seconds in self.timing.summary().items()},
            "images_per_second": self.images_per_second,
            "ratio": None if self.ratio is None else self.ratio.to_json(),
        }


def ratios_to_first(timings: Sequence[Timing]) -> list[Ratio | None]:
    """Each timing's ratio over the first; ``None`` in the first place."""
    return [None if i == 0 else ratio_between(timing, timings[0]) for i, timing in enumerate(timings)]
