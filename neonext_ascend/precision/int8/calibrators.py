"""How far int8 reaches: from a value's histogram the magnitude that becomes 127.

``minmax`` leaves nothing out. ``percentile`` leaves out one number of ten thousand. ``entropy`` loses the least of the
distribution (Kullback-Leibler). ``mse`` makes the smallest squared error: the vendor's IFMR by its published settings,
a search from 0.7 to 1.3 of the 0.999999 quantile in steps of 0.01 (hicann/amct, ``calibration_config_pytorch.proto``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.exporters.int8.decision import HIGHEST
from neonext_ascend.precision.int8.histogram import Histogram

Calibrator = Literal["minmax", "percentile", "entropy", "mse"]
CALIBRATORS: tuple[Calibrator, ...] = get_args(Calibrator)
PERCENTILE = 0.9999
_IFMR_QUANTILE, _IFMR_RATIOS = 0.999999, np.arange(70, 131) / 100
# Magnitudes of int8, 0 included; the ends that entropy tries are multiples of this many bins.
_LEVELS, _STEP = HIGHEST + 1, 8


def reach(histogram: Histogram, calibrator: Calibrator) -> float:
    """The magnitude that becomes 127; 0 where every number was 0."""
    return _REACHES[calibrator](histogram) if histogram.largest > 0 else 0.0


def squared_error(histogram: Histogram, end: float) -> float:
    """The sum of squared differences between the numbers and their int8, with ``end`` as 127."""
    step, centres = end / HIGHEST, histogram.centres
    back = np.minimum(np.rint(centres / step), HIGHEST) * step
    return float(np.sum(histogram.counts * (centres - back) ** 2))


def divergence(histogram: Histogram, bins: int) -> float:
    """Kullback-Leibler's, in nats, from the numbers cut at ``bins`` to the same in 128 levels.

    Empty bins stay empty, and the numbers beyond the cut count in its last bin.
    """
    counts = histogram.counts.astype(np.float64)
    given = counts[:bins].copy()
    given[-1] += counts[bins:].sum()
    level, filled = (np.arange(bins) * _LEVELS) // bins, given > 0
    sums, places = np.bincount(level, counts[:bins], _LEVELS), np.bincount(level, filled, _LEVELS)
    spread = sums[level][filled] / places[level][filled]
    if not spread.all():
        return math.inf  # outliers where the levels have nothing
    p, q = given[filled] / given.sum(), spread / spread.sum()
    return float(np.sum(p * np.log(p / q)))


def _entropy(histogram: Histogram) -> float:
    last = int(np.flatnonzero(histogram.counts)[-1]) + 1
    ends = [*range(_LEVELS, last, _STEP), last]
    found = min(ends, key=lambda end: divergence(histogram, end))
    return float(min(found * histogram.width, histogram.largest))


def _mse(histogram: Histogram) -> float:
    ends: NDArray[np.float64] = histogram.quantile(_IFMR_QUANTILE) * _IFMR_RATIOS
    return float(min(ends, key=lambda end: squared_error(histogram, float(end))))


_REACHES: Mapping[Calibrator, Callable[[Histogram], float]] = {
    "minmax": lambda histogram: histogram.largest,
    "percentile": lambda histogram: histogram.quantile(PERCENTILE),
    "entropy": _entropy,
    "mse": _mse,
}
