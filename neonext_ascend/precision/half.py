"""Half precision as a chip rounds it: float16, in one of two ways of overflowing.

The fp16 of IEEE 754: 11 bits of significand, largest 65504, smallest normal 2^-14, smallest subnormal 2^-24. What is
beyond becomes infinity on 910B and A3 by default; 310P and 310B saturate, without a sign of it: infinity becomes
+-65504 and NaN becomes 0 (the vendor's ``aclrtFloatOverflowMode``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.machine.chips import Soc

Overflow = Literal["ieee", "saturate"]
WORDS: Mapping[Overflow, str] = {"saturate": "saturating, as 310P and 310B do", "ieee": "IEEE, as 910B and A3 do"}
OVERFLOWS: tuple[Overflow, ...] = ("saturate", "ieee")
LARGEST = 65504.0
SMALLEST = 2.0**-24
# From here on a number rounds to infinity.
BEYOND = 65520.0
# Smallest normal number; below it all are multiples of 2^-24, as float32's are between 0.5 and 1.
_NORMAL, _HALFWAY = np.float32(2.0**-14), np.float32(0.75)


def overflows_of(soc: Soc | None) -> tuple[Overflow, ...]:
    """In which ways a chip overflows; without one, both."""
    if soc is None:
        return OVERFLOWS
    return ("saturate",) if soc.name.startswith("Ascend310") else ("ieee",)


def to_half(array: NDArray[Any], overflow: Overflow) -> NDArray[np.float16]:
    """Rounded once, to nearest even."""
    if overflow == "saturate":
        array = np.where(np.isnan(array), 0, np.clip(array, -LARGEST, LARGEST))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(array).astype(np.float16)


@dataclass(frozen=True, slots=True)
class Range:
    """What rounding to fp16 did to one tensor.

    Args:
        largest: magnitude before rounding; infinite where it was.
        size: number of elements.
        overflowed: elements beyond fp16, NaN included.
        flushed: elements that were not 0 and became 0.
        subnormal: elements that are below the smallest normal number, but not 0, and have lost bits.
        error: largest difference that rounding made, over ``largest``; 0 where it overflowed.
        below: whether all that overflowed is below -65504, as a mask is.
    """

    largest: float
    size: int
    overflowed: int
    flushed: int
    subnormal: int
    error: float
    below: bool = False

    @property
    def headroom_bits(self) -> float:
        """By how many doublings the tensor could grow; negative where it is beyond fp16 already."""
        if not math.isfinite(self.largest):
            return -math.inf
        return math.inf if self.largest == 0 else math.log2(LARGEST / self.largest)

    @property
    def dead(self) -> bool:
        """Whether nothing is left of what was there."""
        return self.largest > 0 and self.flushed > 0 and self.error == 1.0

    def to_json(self) -> dict[str, Any]:
        """By name, shares in place of counts; what is not finite is ``null``."""
        size = max(self.size, 1)
        finite = {"largest": self.largest, "headroom_bits": self.headroom_bits}
        return {
            **{name: value if math.isfinite(value) else None for name, value in finite.items()},
            "overflow": self.overflowed / size,
            "flushed": self.flushed / size,
            "subnormal": self.subnormal / size,
            "error": self.error,
        }


def rounded(array: NDArray[np.float32], overflow: Overflow) -> tuple[NDArray[np.float32], Range]:
    """A tensor as fp16 holds it, in float32 again, and what that did to it."""
    if array.size == 0:
        return array, Range(0.0, 0, 0, 0, 0, 0.0)
    low, high = float(array.min()), float(array.max())
    largest = math.inf if math.isnan(low) else max(-low, high)
    inside = largest < BEYOND
    overflowed = 0 if inside else int(array.size - np.count_nonzero(np.abs(array) < BEYOND))
    back = _nearest(array) if inside else to_half(array, overflow).astype(np.float32)
    small = np.abs(back) < _NORMAL
    subnormal = int(np.count_nonzero(small & (back != 0))) if small.any() else 0
    flushed = 0 if overflowed else int(np.count_nonzero(array)) - int(np.count_nonzero(back))
    error = 0.0
    if not overflowed and largest > 0:
        error = float(np.abs(back - array).max()) / largest
    below = overflowed > 0 and high < BEYOND
    return back, Range(largest, array.size, overflowed, flushed, subnormal, error, below)


def _nearest(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest fp16 number, ties to even, of finite ones below 65520; four times as fast as numpy's own casts."""
    bits = array.view(np.int32)
    # The 13 bits that fp16 lacks go; before that, half of their range is added, less one where the last kept bit is 0.
    back = np.asarray((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(np.float32)
    small = np.abs(array) < _NORMAL
    if small.any():
        tiny = array[small]
        back[small] = np.copysign((np.abs(tiny) + _HALFWAY) - _HALFWAY, tiny)
    return back
