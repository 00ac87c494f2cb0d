"""A constant that is known by shape now and by value when asked, in float64.

Folding multiplies factors into weights. Done at once it would hold every folded weight beside the original, and
round after each step; deferred, one tensor at a time is computed and rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neonext_ascend.kernels.operands import sizes


@dataclass(frozen=True)
class Deferred:
    """A tensor to be computed.

    Args:
        shape: of the value.
        compute: gives the value in float64 as a new tensor that the caller may overwrite; reads the network's
            parameters at the time of the call.
        unchanged: the parameter itself where nothing was folded into it, in its own dtype.
        single: gives the value rounded to float32 without a detour over float64, where that is the same to the bit.
    """

    shape: tuple[int, ...]
    compute: Callable[[], Tensor]
    unchanged: Tensor | None = None
    single: Callable[[], Tensor] | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Deferred:
        """A parameter or buffer as it is; shares its storage."""
        held = tensor.detach()
        return cls(tuple(tensor.shape), lambda: held.to(torch.float64, copy=True), held)

    @classmethod
    def zeros(cls, *shape: int) -> Deferred:
        """All zeros."""
        return cls(shape, lambda: torch.zeros(shape, dtype=torch.float64))

    def value(self) -> Tensor:
        """The float64 value, computed anew at every call."""
        with torch.no_grad():
            value = self.compute()
        if sizes(value) != self.shape or value.dtype != torch.float64:
            raise AssertionError(f"deferred {self.shape} gave {tuple(value.shape)} {value.dtype}")
        return value

    def rounded(self, dtype: torch.dtype) -> Tensor:
        """The value in ``dtype``, rounded once; may share the parameter's storage, so do not overwrite it."""
        if self.unchanged is not None and self.unchanged.dtype == dtype:
            return self.unchanged
        if self.single is not None and dtype == torch.float32:
            with torch.no_grad():
                return self.single()
        return self.value().to(dtype)

    def __add__(self, other: Deferred) -> Deferred:
        return Deferred(self.shape, lambda: self.compute().add_(other.compute()))

    def scaled(self, factor: Deferred, axis: int = 0) -> Deferred:
        """Times ``factor (n,)`` along ``axis``."""
        view = [1] * len(self.shape)
        view[axis] = factor.shape[0]
        mine, theirs, single = self.unchanged, factor.unchanged, None
        if mine is not None and theirs is not None and mine.dtype == theirs.dtype == torch.float32:
            # The product of two float32 numbers is exact in float64, so float32 rounds it the same way, twice as fast.
            weight, gain = mine, theirs.view(view)
            single = lambda: weight * gain  # noqa: E731 -- a Deferred is made of such
        return Deferred(self.shape, lambda: self.compute().mul_(factor.compute().view(view)), single=single)

    def reshaped(self, *shape: int) -> Deferred:
        """The same elements in another shape."""
        held = None if self.unchanged is None else self.unchanged.reshape(shape)
        single = self.single
        return Deferred(
            shape,
            lambda: self.compute().reshape(shape),
            held,
            None if single is None else lambda: single().reshape(shape),
        )

    def applied_to(self, vector: Deferred) -> Deferred:
        """``W (rows, columns) @ vector (columns,)``; W may have further axes of length 1."""
        rows, columns = self.shape[:2]
        return Deferred((rows,), lambda: self.compute().reshape(rows, columns) @ vector.compute())
