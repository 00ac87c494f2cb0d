"""What was done to the constants that a node reads, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from neonext_ascend.precision.half import SMALLEST
from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.verify.causes.constants import ROWS, Change, change_of, factors_along
from neonext_ascend.verify.nodewise.pair import AGAIN, Cause, Pair

_FEW = 8  # numbers that can be shown one by one
_SIDES = {"left": "A", "right": "B"}


def constant_cause(step: Step, other: Step, pair: Pair) -> Cause | None:
    """What was done to the constants that the node reads; the one that is explained speaks first."""
    unexplained = None
    for name, got, want in pair.changed(step, other):
        if got.dtype.kind == "f" and (lost := got.size - int(np.isfinite(got).sum())) and np.isfinite(want).all():
            told = f"its constant {name} holds {lost} of {got.size} numbers that are NaN or infinite"
            return Cause(step.name, told, f"{AGAIN}; the file's numbers are damaged, or beyond what its dtype holds")
        change = change_of(got, want, pair.steps.half or pair.theirs.half)
        if change is not None:
            return Cause(step.name, *_words(name, change, step, pair, got, want))
        layer, _, what = name.rpartition(".")
        if pair.layers is not None and what == "bias" and got.shape == want.shape:
            moved = np.subtract(got, want).reshape(-1)
            if cause := pair.layers.shift_cause(layer, moved, pair.steps.half or pair.theirs.half):
                return Cause(step.name, *cause)
        if unexplained is None:
            told = f"its constant {name} is another, and nothing that was tried turns the right one into it"
            if got.size == 1 and want.size == 1:
                told = f"its constant {name} is {got.item():.6g} in place of {want.item():.6g}"
            elif got.shape != want.shape:
                told = f"its constant {name} is {list(got.shape)} in place of {list(want.shape)}"
            elif got.dtype.kind in "iu" and got.size <= _FEW:
                told = f"its constant {name} is {got.tolist()} in place of {want.tolist()}"
            unexplained = Cause(step.name, told, f"{AGAIN}, and see which weights it takes")
    return unexplained


def _words(name: str, change: Change, step: Step, pair: Pair, got: Array, want: Array) -> tuple[str, str]:
    layer, _, what = name.rpartition(".")
    matrix = f"its matrix {_SIDES[what]} ({name})" if what in _SIDES else f"its constant {name}"
    detail = np.zeros(0) if change.detail is None else change.detail
    if change.kind == "transposed":
        return f"{matrix} is transposed", f"write {name} without a transpose: rows first; {AGAIN}"
    if change.kind == "moved":
        words = pair.layers.shift_words(layer, detail) if pair.layers else "another shift"
        moved = f"{np.count_nonzero(detail)} of {len(detail)} channels by {detail.min()} to {detail.max()} pixels"
        return f"{matrix} is built with {words}: {moved}", f"give the network its own shifts (--config), and {AGAIN}"
    if change.kind == "permuted":
        return _order(matrix, change.axis, detail, step, pair, got)
    if change.kind == "gone":
        largest = float(np.abs(want).max())
        small = f"; {largest:.3g}, its largest number, underflows in fp16" if largest < SMALLEST else ", and load it"
        return f"{matrix} is all zero, where the right one reaches {largest:.3g}", f"{AGAIN}{small}"
    if change.kind == "rounded":
        return f"{matrix} is rounded to fp16", f"{AGAIN}, without half precision on the way"
    half, first = pair.steps.half or pair.theirs.half, _channels_before(name, pair.theirs)
    if change.kind == "scaled":
        # Nearly one factor for all channels is what a small change of epsilon makes.
        for axis in (*range(got.ndim), ROWS) if pair.layers else ():
            factors = factors_along(got, want, axis)
            if cause := pair.layers and pair.layers.norm_cause(layer, factors, first, half, certain=True):
                return cause
        return f"{matrix} is {float(detail[0]):.6g} times the right one", f"{AGAIN} without the factor"
    cause = pair.layers.norm_cause(layer, detail, first, half) if pair.layers else None
    detail = detail[~np.isnan(detail)]
    return cause or (
        f"{matrix} is scaled along axis {change.axis} by {detail.min():.3g} to {detail.max():.3g}, as by another "
        "BatchNorm or LayerScale",
        f"{AGAIN}, and see that its statistics are loaded",
    )


def _channels_before(name: str, steps: Steps) -> int:
    """A NeoCell's channels before those of this matrix: where patches are apart, each shift has a matrix of its own."""
    kind, _, number = name.rpartition("_")
    if not number.isdigit():
        return 0
    before = (steps.constant(f"{kind}_{place}") for place in range(int(number)))
    return sum(len(matrix) for matrix in before if matrix is not None)


def _order(matrix: str, axis: int, order: Any, step: Step, pair: Pair, got: Array) -> tuple[str, str]:
    places = f"{np.count_nonzero(order != np.arange(len(order)))} of {len(order)} stand elsewhere"
    last = any(pair.names.get(name) in pair.theirs.outputs for name in step.outputs)
    if last and len(order) == _classes(step, got, axis):
        return (
            f"{matrix} has its classes in another order: {places}",
            f"take the checkpoint's order of classes, and the labels that belong to it; {AGAIN}",
        )
    first = any(name in pair.steps.inputs for name in step.inputs)
    colours = order.reshape(3, -1) if first and axis == 1 and len(order) % 3 == 0 else None
    if colours is not None and (colours[::-1].reshape(-1) == np.arange(len(order))).all():
        return (
            f"{matrix} takes BGR in place of RGB",
            f"feed RGB, and take the checkpoint's weights as they are; {AGAIN}",
        )
    return (
        f"{matrix} has its channels permuted along axis {axis}: {places}",
        f"{AGAIN}; an order of channels must be the same in the layer before and behind",
    )


def _classes(step: Step, got: Array, axis: int) -> int:
    """Length of the axis of a Gemm's, MatMul's or Add's constant that counts its outputs; 0 for the other one."""
    turned = any(one.name == "transB" and one.i for one in step.node.attribute)
    return got.shape[axis] if got.ndim == 1 or axis == (0 if turned else got.ndim - 1) else 0
