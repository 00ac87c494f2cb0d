"""A power law through measured times: ``seconds = a x^p``, by least squares on the logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``factor * x ** exponent``."""

    factor: float
    exponent: float

    def __call__(self, x: float) -> float:
        """Its value at x."""
        return self.factor * float(x**self.exponent)


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Through at least two different x; all values above 0.

    Raises:
        ValueError: there are fewer, or a value is 0 or below.
    """
    if len(set(x)) < 2 or min(*x, *y) <= 0:
        raise ValueError(f"no power law goes through x = {list(x)}, y = {list(y)}; expected two x, all values above 0")
    exponent, offset = np.polyfit(np.log(x), np.log(y), 1)
    return PowerLaw(float(np.exp(offset)), float(exponent))
