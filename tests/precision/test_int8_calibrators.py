"""Each calibrator against a computation of its own on the numbers themselves, not on their histogram."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from neonext_ascend.precision.int8.calibrators import CALIBRATORS, PERCENTILE, divergence, reach, squared_error
from neonext_ascend.precision.int8.histogram import BINS, Histogram

RNG = np.random.default_rng(0)
VALUES = {
    "normal": RNG.standard_normal(200_000),
    "one-sided": np.abs(RNG.standard_normal(200_000)) * 3,
    "long tail": RNG.standard_t(3, 200_000) * 0.01,
    "outlier": np.append(RNG.standard_normal(200_000), 1000.0),
}


def histogram(values: NDArray[np.floating]) -> Histogram:
    found = Histogram()
    for chunk in np.array_split(values.astype(np.float32), 7):
        found.add(chunk)
    return found


@pytest.mark.parametrize("kind", VALUES)
def test_counts_are_numpys_whatever_came_first(kind: str) -> None:
    values = VALUES[kind].astype(np.float32)
    found, backwards = histogram(values), histogram(values[::-1])
    edges = np.arange(BINS + 1) * found.width
    want, _ = np.histogram(np.abs(values), edges)
    assert (found.counts == want).all()
    assert (found.counts == backwards.counts).all()
    assert found.counts.sum() == values.size
    assert found.largest == np.abs(values).max()
    assert found.width * BINS / 2 <= found.largest < found.width * BINS


def test_zeros_alone_reach_nowhere() -> None:
    found = histogram(np.zeros(100))
    assert [reach(found, name) for name in CALIBRATORS] == [0.0] * len(CALIBRATORS)
    found.add(np.array([2.0], np.float32))
    assert found.counts.sum() == 101
    assert reach(found, "minmax") == 2.0


@pytest.mark.parametrize("kind", VALUES)
def test_minmax_and_percentile(kind: str) -> None:
    values, found = np.abs(VALUES[kind].astype(np.float32)), histogram(VALUES[kind])
    assert reach(found, "minmax") == values.max()
    # Its place is known to a bin.
    exact = float(np.quantile(values, PERCENTILE, method="inverted_cdf"))
    assert exact <= reach(found, "percentile") <= exact + found.width


SMOOTH = [kind for kind in VALUES if kind != "outlier"]  # of which a bin is far below a step


@pytest.mark.parametrize("kind", SMOOTH)
def test_mse_is_the_vendors_search(kind: str) -> None:
    values, found = np.abs(VALUES[kind].astype(np.float64)), histogram(VALUES[kind])

    def error(end: float) -> float:
        step = end / 127
        return float(np.sum((values - np.minimum(np.rint(values / step), 127) * step) ** 2))

    start = float(np.quantile(values, 0.999999, method="inverted_cdf"))
    errors = [error(start * hundredth / 100) for hundredth in range(70, 131)]
    ours = reach(found, "mse")
    assert min(abs(ours / (start * hundredth / 100) - 1) for hundredth in range(70, 131)) <= 2 / BINS
    # The histogram knows each number to a sixteenth of a step: the error that it chooses is the best but for 2 %.
    assert error(ours) <= 1.02 * min(errors)
    assert squared_error(found, ours) == pytest.approx(error(ours), rel=0.02)


@pytest.mark.parametrize("kind", SMOOTH)
def test_entropy_loses_least(kind: str) -> None:
    found = histogram(VALUES[kind])

    def plainly(end: int) -> float:
        """In loops, from the definition."""
        counts = [float(count) for count in found.counts]
        given = [*counts[: end - 1], sum(counts[end - 1 :])]
        levels: dict[int, list[int]] = {}
        for place in range(end):
            levels.setdefault(place * 128 // end, []).append(place)
        spread = [0.0] * end
        for inside in levels.values():
            total, filled = sum(counts[place] for place in inside), [place for place in inside if given[place] > 0]
            for place in filled:
                spread[place] = total / len(filled)
        pairs = [(p, q) for p, q in zip(given, spread, strict=True) if p > 0]
        if any(q == 0 for _, q in pairs):
            return math.inf
        p_sum, q_sum = math.fsum(given), math.fsum(spread)
        return math.fsum(p / p_sum * math.log(p / p_sum / (q / q_sum)) for p, q in pairs)

    for end in (128, 200, 777, BINS):
        assert divergence(found, end) == pytest.approx(plainly(end), rel=1e-9, abs=1e-12)
    last = int(np.flatnonzero(found.counts)[-1]) + 1
    reached = reach(found, "entropy")
    ours = last if reached == found.largest else round(reached / found.width)
    best = min(divergence(found, end) for end in [*range(128, last, 8), last])
    assert divergence(found, ours) == best


def test_an_outlier_ruins_minmax_alone() -> None:
    found = histogram(VALUES["outlier"])
    assert reach(found, "minmax") == 1000
    assert reach(found, "percentile") < 5
    # One of 200,001 is more than a millionth, so that the vendor's search begins at the outlier.
    assert reach(found, "mse") >= 700


def test_numbers_below_all_normal_ones_are_counted() -> None:
    found = histogram(np.array([0.0, 1e-43, -3e-43]))
    assert (int(found.counts.sum()), found.counts[0], found.largest) == (3, 3, float(np.float32(3e-43)))
    found.add(np.array([1.0], np.float32))  # and what is larger comes behind them
    assert (int(found.counts.sum()), found.largest) == (4, 1.0)
