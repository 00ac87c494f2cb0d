"""Rounding to fp16 in both ways of overflowing, against values of IEEE 754 and a rounding written differently."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonext_ascend.machine.chips import SOCS
from neonext_ascend.precision.half import overflows_of, rounded, to_half


def exactly(value: float) -> float:
    """Nearest number with 11 bits and exponent at least -14, ties to even, in Python's own integers."""
    if value == 0:
        return value
    quantum = 2.0 ** (max(math.frexp(value)[1] - 1, -14) - 10)
    return round(value / quantum) * quantum  # Python rounds ties to even


@given(st.floats(-65519, 65519, width=32))
def test_it_rounds_as_the_standard_says(value: float) -> None:
    for overflow in ("saturate", "ieee"):
        assert float(to_half(np.array([value], np.float32), overflow)[0]) == exactly(value)


def test_beyond_the_largest_number_the_two_ways_part() -> None:
    values = np.array([65519.99, 65520, -1e6, np.inf, -np.inf, np.nan, 1], np.float32)
    saturated, _ = rounded(values, "saturate")
    ieee, lost = rounded(values, "ieee")
    assert saturated.tolist() == [65504, 65504, -65504, 65504, -65504, 0, 1]
    assert ieee.tolist()[:5] == [65504, np.inf, -np.inf, np.inf, -np.inf]
    assert np.isnan(ieee[5])
    assert lost.overflowed == 5
    assert lost.headroom_bits == -math.inf


def test_the_fast_way_is_numpys_own_to_the_bit() -> None:
    # Every fp16 number, what lies halfway between two, and what lies just beside that.
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    numbers = np.sort(numbers[np.isfinite(numbers)])
    halfway = (numbers[:-1] + numbers[1:]) / np.float32(2)
    beside = [np.nextafter(halfway, np.float32(way)) for way in (np.inf, -np.inf)]
    values = np.concatenate([numbers, halfway, *beside])
    back, _ = rounded(values, "ieee")
    assert back.tobytes() == values.astype(np.float16).astype(np.float32).tobytes()


def test_what_is_lost_below_is_counted() -> None:
    # 2^-25 lies halfway between 0 and the smallest subnormal and goes to even, to 0; a little more does not.
    values = np.array([0, 2.0**-25, 2.0**-25 * 1.01, 2.0**-15, 2.0**-14, 4], np.float32)
    back, lost = rounded(values, "ieee")
    assert back.tolist() == [0, 0, 2.0**-24, 2.0**-15, 2.0**-14, 4]
    assert (lost.flushed, lost.subnormal, lost.overflowed) == (1, 2, 0)
    assert lost.headroom_bits == pytest.approx(math.log2(65504 / 4))
    assert not lost.dead
    assert rounded(np.array([1e-9, -1e-9], np.float32), "saturate")[1].dead
    assert not rounded(np.array([0, 0], np.float32), "saturate")[1].dead
    assert rounded(np.zeros((0, 3), np.float32), "ieee")[1].size == 0


def test_a_chip_has_its_way_and_no_chip_has_both() -> None:
    assert overflows_of(SOCS["Ascend310P3"]) == ("saturate",)
    assert overflows_of(SOCS["Ascend310B1"]) == ("saturate",)
    assert overflows_of(SOCS["Ascend910B3"]) == ("ieee",)
    assert set(overflows_of(None)) == {"saturate", "ieee"}
