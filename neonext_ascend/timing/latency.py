"""Latencies of several contenders, measured so that the machine's moods meet all alike, and their ratios.

A measurement consists of sittings. In each sitting every contender is opened afresh, warmed up, and visited in rounds;
who is opened first and who runs first is drawn by lot. Single runs are no independent evidence, and neither are rounds:
other jobs, the clock and the place that memory happened to get last for a while. So a sitting counts once, with the
median of its rounds' log-ratios. Two equal contenders could change places in any sitting without a trace, because lots
decided: each figure is as likely above 0 as below, however the noise is shaped and correlated. The sign test's
interval asks for no more than that, and holds a ratio of 1 with at least the stated confidence.
"""

from __future__ import annotations

import contextlib
import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

import numpy as np

Run = Callable[[], object]
Opener = Callable[[], AbstractContextManager[Run]]
Clock = Callable[[], float]

CONFIDENCE = 0.95
# With fewer sittings even the widest interval of the sign test holds the median less often than that.
FEWEST_SITTINGS = 6
PERCENTILES = (50, 90, 95, 99)

# Warm-up ends when the median of a window is no longer lower, by this share, than the lowest one before.
WINDOW, FALLING = 5, 0.02
LONGEST_WARM_UP, MOST_WARM_UP_RUNS = 1.0, 1000  # seconds and runs, of one contender in one sitting
# A visit lasts so many seconds or runs, whichever is longer, after untimed runs that take the caches and cores back
# from the contender before. A long run takes them back by itself.
VISIT, RUNS_IN_A_VISIT = 0.02, 3
SETTLING, LONG_RUN = 0.005, 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Args:
        sittings: how often everything is opened afresh, at least :data:`FEWEST_SITTINGS`.
        seconds: of timed runs, all contenders and sittings together.
        repeats: timed runs of each contender instead; at least one a sitting.
    """

    sittings: int = 10
    seconds: float = 10.0
    repeats: int | None = None

    def __post_init__(self) -> None:
        if self.sittings < FEWEST_SITTINGS:
            raise ValueError(f"{self.sittings} sittings; expected at least {FEWEST_SITTINGS}")
        if self.repeats is not None and self.repeats < self.sittings:
            raise ValueError(f"{self.repeats} repeats in {self.sittings} sittings; expected one in each")

    def runs_in(self, sitting: int) -> int | None:
        """Timed runs of each contender in this sitting (from 0), or ``None`` where seconds decide."""
        return None if self.repeats is None else (self.repeats + self.sittings - 1 - sitting) // self.sittings


@dataclass
class Timing:
    """What was measured of one contender: seconds of each timed run as ``sittings[s][round][run]``."""

    sittings: list[list[list[float]]] = field(default_factory=list)
    warm_up_runs: int = 0

    @property
    def seconds(self) -> list[float]:
        """All timed runs in their order."""
        return [run for sitting in self.sittings for visit in sitting for run in visit]

    def summary(self) -> dict[str, float]:
        """Percentiles (linear between runs), minimum and mean, in seconds."""
        seconds = self.seconds
        names = (f"p{p}" for p in PERCENTILES)
        figures = dict(zip(names, map(float, np.percentile(seconds, PERCENTILES)), strict=True))
        return {**figures, "min": min(seconds), "mean": fmean(seconds)}


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two latencies with its interval at :data:`CONFIDENCE`."""

    median: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 1."""
        return not self.low <= 1 <= self.high

    def to_json(self) -> dict[str, float]:
        """By name."""
        return {"median": self.median, "low": self.low, "high": self.high}


def ratio_between(above: Timing, below: Timing) -> Ratio:
    """Latency of ``above`` over that of ``below``, measured together."""
    figures = [
        median(math.log(median(a) / median(b)) for a, b in zip(rounds_above, rounds_below, strict=True))
        for rounds_above, rounds_below in zip(above.sittings, below.sittings, strict=True)
    ]
    low, high = sign_interval(figures)
    return Ratio(math.exp(median(figures)), math.exp(low), math.exp(high))


def sign_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the sign test for the median: the k-th smallest and k-th largest value.

    k is the largest number with ``2 P(B < k) <= 1 - confidence``, B binomial (n, 1/2); independent values of any
    distribution then hold their median between them with at least this confidence.

    Raises:
        ValueError: there are too few values for that.
    """
    ordered, n = sorted(values), len(values)
    k, tail = 0, 1
    while 2 * tail <= (1 - confidence) * 2**n:
        k += 1
        tail += math.comb(n, k)
    if k == 0:
        raise ValueError(f"{n} values; too few for an interval of {100 * confidence:g} %")
    return ordered[k - 1], ordered[n - k]


def measure(
    openers: Sequence[Opener],
    plan: Plan,
    *,
    clock: Clock = time.perf_counter,
    lots: random.Random | None = None,
    after_sitting: Callable[[], Any] = lambda: None,
    into: list[Timing] | None = None,
) -> list[Timing]:
    """Time all contenders together.

    Args:
        openers: each opens its contender and gives a function that runs it once.
        plan: how much.
        clock: in seconds.
        lots: draws the order; by default another one in each measurement.
        after_sitting: called after each.
        into: takes the timings, empty, and in them each sitting once it is whole: for whoever ends it early.

    Returns:
        One timing for each opener; round ``r`` of sitting ``s`` belongs together in all of them.
    """
    drawn = lots or random.Random()
    timings = [] if into is None else into
    timings += [Timing() for _ in openers]
    for number in range(plan.sittings):
        with ExitStack() as stack, without_collection():
            runs: dict[int, Run] = {}
            for i in drawn.sample(range(len(openers)), len(openers)):
                runs[i] = stack.enter_context(openers[i]())
            found = _sitting(runs, timings, plan, number, clock, drawn)
        for timing, visits in zip(timings, found, strict=True):
            timing.sittings.append(visits)
        after_sitting()
    return timings


def warm_up(run: Run, clock: Clock) -> list[float]:
    """Run until the median of the recent runs stops falling, at least once; the seconds of each run."""
    seconds: list[float] = []
    total, lowest = 0.0, math.inf
    while total < LONGEST_WARM_UP and len(seconds) < MOST_WARM_UP_RUNS:
        seconds.append(_timed(run, clock))
        total += seconds[-1]
        if len(seconds) % WINDOW == 0:
            recent = median(seconds[-WINDOW:])
            if recent > (1 - FALLING) * lowest:
                break
            lowest = recent
    return seconds


def _sitting(
    runs: Mapping[int, Run], timings: Sequence[Timing], plan: Plan, number: int, clock: Clock, lots: random.Random
) -> list[list[list[float]]]:
    found: list[list[list[float]]] = [[] for _ in timings]
    typical = [0.0] * len(timings)
    for i, run in runs.items():
        seconds = warm_up(run, clock)
        typical[i] = median(seconds[-WINDOW:])
        timings[i].warm_up_runs += len(seconds)
    left = plan.runs_in(number)
    calls = _calls_in_a_visit(typical, plan.seconds / plan.sittings, left)
    spent, order, backwards = 0.0, list(runs), False
    while left is None or left > 0:
        # A drawn order, then the same backwards: what changes steadily meanwhile cancels.
        order = order[::-1] if backwards else lots.sample(order, len(order))
        backwards = not backwards
        for i in order:
            visit = _visit(runs[i], calls[i] if left is None else min(calls[i], left), typical[i], clock)
            found[i].append(visit)
            spent += sum(visit)
        if left is not None:
            left -= calls[0]
        elif spent >= plan.seconds / plan.sittings:
            break
    return found


def _calls_in_a_visit(typical: Sequence[float], seconds: float, repeats: int | None) -> list[int]:
    """Runs of each contender in one visit; where repeats are counted, the same number for all."""
    wanted = [max(RUNS_IN_A_VISIT, math.ceil(VISIT / max(t, 1e-9))) for t in typical]
    if repeats is not None:
        # Two rounds at least, so that one goes backwards.
        return [min(max(wanted), math.ceil(repeats / 2))] * len(typical)
    share = seconds / (2 * len(typical))
    return [max(1, min(n, int(share / max(t, 1e-9)))) for n, t in zip(wanted, typical, strict=True)]


def _visit(run: Run, calls: int, typical: float, clock: Clock) -> list[float]:
    if typical < LONG_RUN:
        end = clock() + SETTLING
        run()
        while clock() < end:
            run()
    return [_timed(run, clock) for _ in range(calls)]


def _timed(run: Run, clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Python's garbage collector waits until the sitting is over."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
