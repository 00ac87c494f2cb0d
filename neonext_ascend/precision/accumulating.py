"""A product whose partial sums are kept in fp16: sixteen terms in fp32, one step of the cube unit, then rounded.

The cube unit adds up in fp32; this is the pessimist's model, for an operator that a chip computes otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from neonext_ascend.precision.half import Overflow, to_half
from neonext_ascend.runtimes.steps import Array, Step, Steps

_TERMS = 16
_Floats = NDArray[np.float32]


def accumulated(steps: Steps, step: Step, inputs: Sequence[Any], overflow: Overflow) -> tuple[list[Array], float]:
    """The result of a MatMul, a Gemm or a Conv without groups, and the largest magnitude of its partial sums.

    Of any other node the result as it is, and 0.
    """
    sums = _Sums(overflow)
    attributes = {a.name: helper.get_attribute_value(a) for a in step.node.attribute}
    held, operator = dict(zip(step.inputs, inputs, strict=True)), step.node.op_type
    first, second, *bias = (held[name] for name in step.node.input if name)  # a value may be read twice
    if operator == "MatMul" and first.ndim > 1 and second.ndim > 1:
        return [sums.of(first.shape[-1], lambda part: first[..., part] @ second[..., part, :])], sums.largest
    if operator == "Gemm":
        left = first.T if attributes.get("transA") else first
        right = second.T if attributes.get("transB") else second
        product = sums.of(left.shape[1], lambda part: left[:, part] @ right[part])
        scaled = np.float32(attributes.get("alpha", 1.0)) * product
        added = scaled + np.float32(attributes.get("beta", 1.0)) * bias[0] if bias else scaled
        return [np.asarray(added, np.float32)], sums.largest
    if operator == "Conv" and attributes.get("group", 1) == 1 and len(inputs) == 2 + len(bias):
        none = [np.zeros_like(bias[0])] if bias else []
        taps = int(np.prod(second.shape[2:]))

        def piece(part: slice) -> Any:
            return steps.compute(step, [first[:, part], second[:, part], *none])[0]

        channels = sums.of(second.shape[1], piece, max(1, _TERMS // taps))
        added = channels + bias[0].reshape(-1, *[1] * (channels.ndim - 2)) if bias else channels
        return [added], sums.largest
    return steps.compute(step, inputs), 0.0


class _Sums:
    """Partial sums, each rounded to fp16."""

    def __init__(self, overflow: Overflow) -> None:
        self.overflow, self.largest = overflow, 0.0

    def of(self, terms: int, product: Callable[[slice], Any], together: int = _TERMS) -> _Floats:
        """The sum of the products of so many terms each."""
        total: _Floats = np.zeros((), np.float32)
        for start in range(0, terms, together):
            total = np.asarray(total + product(slice(start, start + together)), np.float32)
            self.largest = max(self.largest, float(np.abs(total).max(initial=0.0)))
            total = to_half(total, self.overflow).astype(np.float32)
        return total
