"""Measuring latencies: the statistics against values from elsewhere, the order of the runs, and a simulated machine."""

from __future__ import annotations

import contextlib
import gc
import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise

import pytest

from neonext_ascend.timing.latency import (
    FEWEST_SITTINGS,
    LONGEST_WARM_UP,
    MOST_WARM_UP_RUNS,
    Plan,
    Ratio,
    Run,
    Timing,
    measure,
    ratio_between,
    sign_interval,
    warm_up,
)

Opener = Callable[[], AbstractContextManager[Run]]


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside torch a collection takes 0.2 s, and the simulations have thousands of sittings."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


class Machine:
    """A machine whose clock moves only when something runs, by that run's time and the machine's mood.

    The mood wanders from run to run (an autoregressive process, about 14 % up and down over some hundred runs). Each
    opening finds another place in memory, which makes 2 % until it is closed, and whoever opens later is slower.
    """

    def __init__(self, seed: int, moody: bool = True) -> None:
        self.now, self.mood, self.opened = 0.0, 0.0, 0
        self.moody = moody
        self.random = random.Random(seed)
        self.log: list[tuple[str, float]] = []

    def clock(self) -> float:
        return self.now

    def contender(self, name: str, seconds: float) -> Opener:
        @contextlib.contextmanager
        def opened() -> Iterator[Run]:
            place = 0.02 * self.random.gauss(0, 1) + 0.01 * self.opened if self.moody else 0.0
            self.opened += 1

            def run() -> None:
                if self.moody:
                    self.mood = 0.99 * self.mood + 0.02 * self.random.gauss(0, 1)
                self.log.append((name, self.now))
                self.now += seconds * math.exp(place + self.mood)

            self.log.append((f"open {name}", self.now))
            yield run
            self.opened -= 1

        return opened


def compared(seed: int, first: float, second: float) -> tuple[Ratio, tuple[float, float]]:
    """The ratio second / first, and a naive interval that takes all rounds for independent."""
    machine = Machine(seed)
    openers = [machine.contender("a", first), machine.contender("b", second)]
    below, above = measure(openers, Plan(seconds=5), clock=machine.clock, lots=random.Random(seed))
    rounds = [
        math.log(sorted(b)[len(b) // 2] / sorted(a)[len(a) // 2])
        for sitting in zip(below.sittings, above.sittings, strict=True)
        for a, b in zip(*sitting, strict=True)
    ]
    return ratio_between(above, below), sign_interval(rounds)


def test_the_same_thing_twice_shows_no_difference_in_correlated_noise() -> None:
    results = [compared(seed, 0.01, 0.01) for seed in range(200)]
    # The interval of 10 sittings holds the median with 97.9 %; 95 % is what is said.
    assert sum(not ratio.differs for ratio, _ in results) >= 190
    # The noise is of the kind that matters: taken for independent, the rounds would be far too sure.
    assert sum(low <= 0 <= high for _, (low, high) in results) <= 160


def test_a_true_ratio_is_found_in_the_same_noise() -> None:
    ratios = [compared(seed, 0.01, 0.011)[0] for seed in range(50)]
    assert sum(ratio.differs and ratio.low > 1 for ratio in ratios) >= 48
    assert sum(ratio.low <= 1.1 <= ratio.high for ratio in ratios) >= 45


# Ranks of the sign test's 95 % interval, from the table in W. J. Conover, Practical Nonparametric Statistics.
@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6), (25, 8)])
def test_the_intervals_ranks_are_those_of_the_table(n: int, rank: int) -> None:
    values = [float(v) for v in range(1, n + 1)]
    random.Random(n).shuffle(values)
    assert sign_interval(values) == (rank, n + 1 - rank)


def test_too_few_values_give_no_interval() -> None:
    with pytest.raises(ValueError, match="5 values; too few for an interval of 95 %"):
        sign_interval([1.0] * (FEWEST_SITTINGS - 1))


def test_percentiles_by_hand() -> None:
    values = [v / 1000 for v in range(1, 101)]
    random.Random(0).shuffle(values)
    timing = Timing([[values[:30], values[30:60]], [values[60:]]])
    expected = {"p50": 50.5, "p90": 90.1, "p95": 95.05, "p99": 99.01, "min": 1.0, "mean": 50.5}
    assert {name: 1e3 * value for name, value in timing.summary().items()} == pytest.approx(expected)
    assert len(timing.seconds) == 100


def test_a_ratio_by_hand() -> None:
    # Six sittings of three rounds; a round's ratio is that of its medians, a sitting's the median of its rounds'.
    below = Timing([[[1.0, 1.0, 9.0], [2.0], [4.0]]] * 6)
    above = Timing([[[0.1, r, 9.0], [2.0 * r], [40.0]] for r in (1.5, 1.1, 1.2, 1.3, 1.4, 0.9)])
    ratio = ratio_between(above, below)
    assert ratio.low == pytest.approx(0.9)
    assert ratio.high == pytest.approx(1.5)
    assert ratio.median == pytest.approx(math.sqrt(1.2 * 1.3))
    assert not ratio.differs
    assert Ratio(1.2, 1.1, 1.3).differs
    assert Ratio(0.8, 0.7, 0.9).differs


def taking(*durations: float) -> tuple[Run, Callable[[], float]]:
    """A run with these durations, the last for ever, and its clock."""
    now, left = [0.0], list(durations)

    def run() -> None:
        now[0] += left.pop(0) if len(left) > 1 else left[0]

    return run, lambda: now[0]


def test_warm_up_ends_when_the_median_of_a_window_stops_falling() -> None:
    assert len(warm_up(*taking(*[0.010] * 5, *[0.005] * 5, 0.00495))) == 15
    assert len(warm_up(*taking(0.010))) == 10
    # One slow run in a window is no fall, and no rise.
    assert len(warm_up(*taking(*[0.010] * 5, 0.9, *[0.005] * 4, 0.004))) < 20


def test_warm_up_has_bounds() -> None:
    falling = [0.97**n * 1e-6 for n in range(2 * MOST_WARM_UP_RUNS)]
    assert len(warm_up(*taking(*falling))) == MOST_WARM_UP_RUNS
    assert warm_up(*taking(2 * LONGEST_WARM_UP)) == [2 * LONGEST_WARM_UP]


def test_all_are_visited_in_each_round_and_lots_decide_the_order() -> None:
    machine = Machine(0, moody=False)
    openers = [machine.contender(name, 0.2) for name in "abc"]
    plan = Plan(sittings=20, repeats=80)
    timings = measure(openers, plan, clock=machine.clock, lots=random.Random(0))
    assert [len(t.seconds) for t in timings] == [80] * 3
    # A run of 0.2 s settles by itself, so all runs after the warm-up are timed: 2 rounds of 2 in each sitting.
    assert [[[len(v) for v in s] for s in t.sittings] for t in timings] == [[[2, 2]] * 20] * 3
    orders = {tuple(name for name, _ in machine.log if name.startswith("open"))[3 * s : 3 * s + 3] for s in range(20)}
    assert len(orders) == 6
    timed = [log[-12:] for log in split(machine.log)]
    assert all(half(log)[0] == half(log)[1][::-1] for log in timed)
    assert len({half(log)[0] for log in timed}) == 6


def split(log: list[tuple[str, float]]) -> list[list[str]]:
    """The names of the runs, sitting by sitting."""
    sittings: list[list[str]] = []
    for (before, _), (name, _) in pairwise([("", 0.0), *log]):
        if name.startswith("open"):
            if not before.startswith("open"):
                sittings.append([])
        else:
            sittings[-1].append(name)
    return sittings


def half(names: list[str]) -> tuple[str, str]:
    """First and second half as words."""
    middle = len(names) // 2
    return "".join(names[:middle]), "".join(names[middle:])


def test_short_runs_settle_untimed_before_each_visit() -> None:
    machine = Machine(0, moody=False)
    (timing,) = measure([machine.contender("a", 0.001)], Plan(repeats=100), clock=machine.clock)
    visited = sum(map(len, timing.sittings))
    assert visited == 20
    ran = sum(name == "a" for name, _ in machine.log)
    assert ran == timing.warm_up_runs + 5 * visited + 100


def test_repeats_are_shared_out_and_seconds_are_kept() -> None:
    plan = Plan(sittings=7, repeats=100)
    assert [plan.runs_in(s) for s in range(7)] == [15, 15, 14, 14, 14, 14, 14]
    assert Plan().runs_in(0) is None
    machine = Machine(0, moody=False)
    openers = [machine.contender("fast", 0.001), machine.contender("slow", 0.05)]
    fast, slow = measure(openers, Plan(seconds=6), clock=machine.clock)
    assert 6 <= sum(fast.seconds) + sum(slow.seconds) <= 9
    assert len(fast.seconds) > 3 * len(slow.seconds)
    assert all(len(s) >= 2 for s in slow.sittings)


def test_a_plan_needs_enough_sittings_and_a_run_in_each() -> None:
    with pytest.raises(ValueError, match="5 sittings; expected at least 6"):
        Plan(sittings=5)
    with pytest.raises(ValueError, match="7 repeats in 10 sittings"):
        Plan(repeats=7)


def test_everything_is_opened_afresh_and_closed_in_each_sitting() -> None:
    machine, sittings = Machine(0, moody=False), []

    def after() -> None:
        sittings.append((machine.opened, gc.isenabled()))

    openers = [machine.contender("a", 0.2), machine.contender("b", 0.2)]
    measure(openers, Plan(sittings=6, repeats=6), clock=machine.clock, after_sitting=after)
    assert sittings == [(0, True)] * 6
    assert sum(name.startswith("open") for name, _ in machine.log) == 12


def test_the_garbage_collector_waits_while_runs_are_timed() -> None:
    seen = set()

    @contextlib.contextmanager
    def opened() -> Iterator[Run]:
        yield lambda: seen.add(gc.isenabled())

    measure([opened], Plan(sittings=6, repeats=6))
    assert seen == {False}
    assert gc.isenabled()
