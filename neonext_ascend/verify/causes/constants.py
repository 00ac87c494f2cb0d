"""What was done to an array, where another is known: transposed, moved, permuted, scaled.

Each is tried by computing it; the first that gives the array is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
_MANY = 8  # of fewer numbers it may be chance that fp16 has all of them
ROWS = -1  # in place of an axis: the rows of the last two
Kind = Literal["transposed", "moved", "permuted", "scaled", "rescaled", "gone", "rounded"]
# Rounding of one element: half an ulp twice, and what another order of a sum in float64 leaves.
_ULPS = {True: 2.0**-10, False: 2.0**-22}


@dataclass(frozen=True)
class Change:
    """What was done.

    Args:
        kind: of change; ``rescaled`` has a factor for each slice along ``axis``, ``scaled`` one for all.
        axis: that it was done along; ``ROWS`` for a factor for each row of all matrices.
        detail: the permutation, the factors, or by how many places each first-axis slice moved down its diagonal.
    """

    kind: Kind
    axis: int = 0
    detail: NDArray[Any] | None = None


_Attempt = Callable[[Array, Array, float], Change | None]


def differ(got: Array, want: Array, half: bool) -> bool:
    """Whether two constants are apart by more than the rounding of one number."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return True
    if got.dtype.kind != "f":
        return not np.array_equal(got, want)
    if got.tobytes() == want.tobytes():
        return False
    far, scale = np.abs(np.subtract(got, want)), np.abs(want)
    return not bool((far <= _ULPS[half] * (scale + 1e-3 * scale.max(initial=0.0))).all())


def unlike(got: Array | None, want: Array | None) -> float:
    """How far two constants are apart: ``sum|difference| / sum|want|``, at most 2; that where only one is there."""
    if got is None or want is None or got.shape != want.shape or "f" not in got.dtype.kind + want.dtype.kind:
        return 0.0 if got is want else 2.0
    mine, right = got.astype(np.float64), want.astype(np.float64)
    far, size = float(np.abs(mine - right).sum()), float(np.abs(right).sum())
    return min(far / size, 2.0) if far < np.inf and size else float(far != 0) * 2.0


def change_of(got: Array, want: Array, half: bool = False) -> Change | None:
    """What turns ``want`` into ``got``; ``None`` where nothing that is tried does."""
    floating = {got.dtype.kind, want.dtype.kind} == {"f"}
    if want.size == 0 or not (floating or _of_weights(got, want)):
        return None
    if not floating:
        got, want = got.astype(np.float64), want.astype(np.float64)
    attempts: Sequence[_Attempt] = (_transposed, _gone, _moved, _permuted, *[_rounded] * floating, _scaled)
    for attempt in attempts:
        # Half an ulp each for the two constants, and as much again for the estimate of a factor.
        found = attempt(got, want, (1.5 if half else 4) * _ULPS[half])
        if found is not None:
            return found
    return None


def _of_weights(got: Array, want: Array) -> bool:
    """Whether two arrays of integers may be an int8 layer's weights or bias: more than a shape or an axis."""
    return {got.dtype.kind, want.dtype.kind} <= {*"iu"} and min(got.size, want.size) > _MANY


def close(got: Array, want: Array, bound: float) -> bool:
    """Whether ``max|difference| <= bound max|reference|``."""
    far = float(np.abs(np.subtract(got, want)).max(initial=0.0))
    return far <= bound * float(np.abs(want).max(initial=0.0))


def _transposed(got: Array, want: Array, bound: float) -> Change | None:
    if want.ndim < 2:
        return None
    turned = want.swapaxes(-1, -2)
    return Change("transposed", want.ndim - 2) if turned.shape == got.shape and close(got, turned, bound) else None


def _gone(got: Array, want: Array, bound: float) -> Change | None:
    if got.shape != want.shape:
        return None
    return Change("gone") if not got.any() and want.any() else None


def _rounded(got: Array, want: Array, bound: float) -> Change | None:
    """To fp16's 11 bits: every number is one that fp16 has, the nearest."""
    if got.shape != want.shape or got.size < _MANY or not np.array_equal(got, got.astype(np.float16).astype(got.dtype)):
        return None
    far = np.abs(np.subtract(got, want))
    return Change("rounded") if bool((far <= 2.0**-11 * 1.001 * np.abs(want) + 2.0**-25).all()) else None


def _moved(got: Array, want: Array, bound: float) -> Change | None:
    """Along the diagonal of the last two axes: block-diagonal matrices that begin elsewhere."""
    if got.shape != want.shape or want.ndim != 3 or min(want.shape[1:]) < 2:
        return None
    rows, columns = want.shape[1:]
    largest = bound * float(np.abs(want).max())
    moves = np.full(len(want), np.iinfo(np.int64).max)
    moves[np.abs(np.subtract(got, want)).max(axis=(1, 2)) <= largest] = 0
    for by in range(1, min(rows, columns)):
        for move in (by, -by):
            new, old = (slice(by, None), slice(None, -by)) if move > 0 else (slice(None, -by), slice(by, None))
            far = np.abs(np.subtract(got[:, new, new], want[:, old, old])).max(axis=(1, 2))
            moves[(moves > rows) & (far <= largest)] = move
    # With little left to compare anything fits: half of the matrix at the least.
    known = np.abs(moves) <= min(rows, columns) // 2
    return Change("moved", 0, moves) if known.all() and moves.any() else None


def _permuted(got: Array, want: Array, bound: float) -> Change | None:
    """Slices along one axis in another order, each of them as it was."""
    if got.shape != want.shape:
        return None
    for axis in range(want.ndim):
        ours, theirs = _slices(got, axis), _slices(want, axis)
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(theirs):
            places.setdefault(row.tobytes(), []).append(place)
        order = [places[key].pop(0) if places.get(key := row.tobytes()) else -1 for row in ours]
        if min(order) >= 0 and order != sorted(order):
            return Change("permuted", axis, np.asarray(order))
    return None


def _scaled(got: Array, want: Array, bound: float) -> Change | None:
    """By one factor, by one for each slice along an axis, or for each row of matrices that hold several channels."""
    if got.shape != want.shape:
        return None
    for axis in (None, *range(want.ndim), ROWS):
        mine, right = (_factored(value, axis).astype(np.float64) for value in (got, want))
        if axis is not None and right.shape[1] < 2:
            continue  # any two vectors are a factor apart, element by element
        factors = _factors(mine, right)
        scaled = right * np.nan_to_num(factors, nan=1.0)[:, None]
        if bool((np.abs(mine - scaled) <= bound * (np.abs(scaled) + 1e-3 * np.abs(scaled).max(initial=0.0))).all()):
            return Change("scaled" if axis is None else "rescaled", axis or 0, factors)
    return None


def factors_along(got: Array, want: Array, axis: int) -> NDArray[np.float64]:
    """The factor of each slice along an axis, or of each row of all matrices; NaN where it is zero."""
    return _factors(*(_factored(value, axis).astype(np.float64) for value in (got, want)))


def _factors(mine: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = (right * right).sum(axis=1)
    factors: NDArray[np.float64] = np.full_like(norms, np.nan)
    np.divide((mine * right).sum(axis=1), norms, out=factors, where=norms > 0)
    return factors


def _factored(value: Array, axis: int | None) -> Array:
    if axis == ROWS:
        return value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
    return value.reshape(1, -1) if axis is None else _slices(value, axis)


def _slices(value: Array, axis: int) -> Array:
    """``(n, elements)``: the slices along an axis, one a row."""
    return np.ascontiguousarray(np.moveaxis(value, axis, 0)).reshape(value.shape[axis], -1)
