"""Two artifacts on the same pictures: whether they differ by more than chance, and how far the second may be behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

_Z = 1.6448536269514722  # of a one-sided 95 %: the normal distribution's 0.95 quantile
# Fewer discordant pictures than this are too few for the chi-squared distribution.
_FEW = 25


@dataclass(frozen=True)
class Pair:
    """The counts on which everything depends.

    Args:
        first, second: numbers of the artifacts.
        only_first, only_second: pictures that only one of them has right.
        images: all pictures.
    """

    first: int
    second: int
    only_first: int
    only_second: int
    images: int

    @property
    def test(self) -> Literal["exact", "continuity-corrected"]:
        """Which form of McNemar's test the counts allow."""
        return "exact" if self.only_first + self.only_second < _FEW else "continuity-corrected"

    @property
    def p_value(self) -> float:
        """McNemar's test (1947), two-sided: how likely a difference this large is between two that are equally good."""
        b, c = self.only_first, self.only_second
        if self.test == "exact":
            return min(1.0, math.ldexp(sum(math.comb(b + c, k) for k in range(min(b, c) + 1)), 1 - b - c))
        chi_squared = max(abs(b - c) - 1, 0) ** 2 / (b + c)
        return math.erfc(math.sqrt(chi_squared / 2))

    @cached_property
    def drop(self) -> Drop:
        """How much the second is behind the first."""
        return drop_of(self.only_first, self.only_second, self.images)

    def gate(self, most: float) -> Gate:
        """Whether the second may take the first's place if it may lose ``most`` points of top-1."""
        return Gate(self, most)

    def to_json(self, names: Sequence[str], most: float | None = None) -> dict[str, Any]:
        """With the artifacts by their names; and against the first the gate, where there is a bound."""
        return {
            "first": names[self.first],
            "second": names[self.second],
            "only_first": self.only_first,
            "only_second": self.only_second,
            "p_value": self.p_value,
            "test": self.test,
            "drop": {"points": self.drop.points, "low": self.drop.low, "high": self.drop.high},
            **({} if most is None or self.first else {"gate": self.gate(most).to_json()}),
        }


@dataclass(frozen=True, slots=True)
class Drop:
    """Points of top-1 that the second artifact is behind: as seen, and one-sided 95 % bounds below and above."""

    points: float
    low: float
    high: float


@dataclass(frozen=True)
class Gate:
    """What the drop's bounds say of the points that may be lost.

    Args:
        pair: the counts.
        most: points of top-1.
    """

    pair: Pair
    most: float

    @property
    def refused(self) -> bool:
        """The drop is larger: of drops that are not, at most 5 % are refused."""
        return self.pair.drop.low > self.most

    @property
    def decided(self) -> bool:
        """Whether the pictures tell, one way or the other."""
        return self._decides(1.0)

    @cached_property
    def pictures_needed(self) -> int | None:
        """About how many pictures decide, if all goes on in the shares seen; ``None`` where no number does."""
        if not self._decides(largest := 2.0**30):
            return None
        return math.ceil(self.pair.images * _crossing(self._decides, 0.0, largest))

    def to_json(self) -> dict[str, Any]:
        """Verdict and figures."""
        needed = None if self.decided else self.pictures_needed
        return {"max_drop": self.most, "refused": self.refused, "decided": self.decided, "pictures_needed": needed}

    def _decides(self, times: float) -> bool:
        """Whether so many times the pictures would."""
        pair = self.pair
        drop = drop_of(pair.only_first * times, pair.only_second * times, pair.images * times)
        return drop.low > self.most or drop.high <= self.most


def drop_of(only_first: float, only_second: float, images: float) -> Drop:
    """The drop ``(b - c) / n`` in points with the bounds of Tango's score interval (1998).

    A drop ``d`` is within where ``|b - c - n d| <= z sqrt(n (2 q + d (1 - d)))``, ``q`` being the likeliest chance,
    given ``d``, that only the second is right. Its width stays honest where no or few pictures are discordant.
    """
    b, c, n = only_first, only_second, images

    def score(d: float) -> float:
        linear = (2 * n - b + c) * d - b - c
        q = (math.sqrt(max(linear * linear + 8 * n * c * d * (1 - d), 0.0)) - linear) / (4 * n)
        spread = n * (2 * q + d * (1 - d))
        return (b - c - n * d) / math.sqrt(spread) if spread > 0 else math.copysign(math.inf, b - c - n * d)

    seen = (b - c) / n
    low = _crossing(lambda d: score(d) < _Z, -1.0, seen) if seen > -1 else -1.0
    high = _crossing(lambda d: score(d) < -_Z, seen, 1.0) if seen < 1 else 1.0
    return Drop(100 * seen, 100 * low, 100 * high)


def _crossing(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where, from ``low`` to ``high``, something begins to hold that then goes on to hold."""
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
