"""Deferred constants: float64 values, rounded once, with shortcuts that may not change a bit."""

from __future__ import annotations

import pytest
import torch

from neonext_ascend.passes.frozen.deferred import Deferred


def test_a_parameter_is_handed_on_as_it_is() -> None:
    weight = torch.randn(3, 4)
    deferred = Deferred.of(weight)
    assert deferred.rounded(torch.float32).data_ptr() == weight.data_ptr()
    assert deferred.value().dtype == torch.float64
    deferred.value().zero_()
    assert bool((weight != 0).any())


@pytest.mark.parametrize("exponent", [0, -20, -40, -44, 38])
def test_the_float32_shortcut_is_the_float64_value_rounded_to_the_bit(exponent: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(257, 129, generator=generator)
    gamma = torch.randn(257, generator=generator) * 10.0**exponent
    scaled = Deferred.of(weight).scaled(Deferred.of(gamma)).reshaped(257, 129, 1, 1)
    assert scaled.single is not None
    assert torch.equal(scaled.rounded(torch.float32), scaled.value().float())
    assert torch.equal(scaled.rounded(torch.float16), scaled.value().half())


def test_further_folds_leave_the_shortcut() -> None:
    weight, s = Deferred.of(torch.randn(5, 6)), Deferred.of(torch.rand(5))
    twice = weight.scaled(s).scaled(s)
    assert twice.single is None
    assert torch.equal(twice.rounded(torch.float32), twice.value().float())


def test_sums_and_products_in_float64() -> None:
    weight, vector = torch.randn(4, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    applied = Deferred.of(weight).reshaped(4, 3, 1, 1).applied_to(Deferred.of(vector))
    torch.testing.assert_close(applied.value(), weight @ vector, rtol=1e-15, atol=0)
    total = Deferred.of(weight) + Deferred.zeros(4, 3)
    assert torch.equal(total.value(), weight)


def test_a_wrong_announcement_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="deferred"):
        Deferred((2,), lambda: torch.zeros(3, dtype=torch.float64)).value()
