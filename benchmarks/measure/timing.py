"""Timing side by side: A B A B, so that whatever else the machine does meets all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP, LONGEST_WARM_UP = 3, 0.5  # calls, and seconds beyond which one is enough
# A shorter call is repeated within one sample, in seconds: the clock and the loop must not count.
SHORTEST_SAMPLE = 0.005

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        lower, median, upper = (float(v) for v in np.percentile(values, (25, 50, 75)))
        return cls(median, lower, upper)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.lower:.3f}-{self.upper:.3f})"


def interleaved(
    runs: Mapping[str, Callable[[], object]], repeats: int, pause: float = 0.0, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of one call, ``repeats`` samples of each run, taken in turns after a warm-up.

    Args:
        runs: what to call, by name.
        repeats: samples of each.
        pause: seconds in front of each sample.
        clock: gives seconds; ``time.process_time`` where others take the cores, and all runs have one thread.
    """
    calls = {name: _calls_in_a_sample(run, clock) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(pause)
            seconds[name].append(_sample(run, calls[name], clock))
    return seconds


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of the pairwise ratios ``above / below`` of samples taken one after the other."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def _calls_in_a_sample(run: Callable[[], object], clock: Clock) -> int:
    seconds: list[float] = []
    while len(seconds) < WARM_UP and sum(seconds) < LONGEST_WARM_UP:
        seconds.append(_sample(run, 1, clock))
    return max(1, math.ceil(SHORTEST_SAMPLE / min(seconds)))


def _sample(run: Callable[[], object], calls: int, clock: Clock) -> float:
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls
