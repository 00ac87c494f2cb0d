"""Which products the vendor's rules let be int8, by operator, attributes and shapes alone.

Conv with a 4-D weight, Gemm and MatMul with a 2-D one on the right (``capacity_config.csv`` in hicann/amct).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NEOCELL = "its constant has 3 axes; int8 takes 2-D constants of a MatMul alone (NeoCells stay in fp16)"
LEFT = "its constant is the first operand; int8 takes the second alone, so that int8 means nchw"
_NEOCELL_AXES = 3


def why_not(
    operator: str, attributes: Mapping[str, Any], value: Sequence[int] | None, weight: Sequence[int] | None
) -> str:
    """Why a product stays in floating point; empty where it can be int8.

    Args:
        operator: Conv, ConvTranspose, Gemm or MatMul.
        attributes: of the node.
        value, weight: shapes of its operands; ``None`` of one that is no constant.
    """
    if operator == "ConvTranspose":
        return "ConvTranspose is not written in int8 here"
    if value is not None:
        return NEOCELL if len(value) == _NEOCELL_AXES else LEFT
    if weight is None:
        return "its weight is no constant"
    if operator == "MatMul" and len(weight) == _NEOCELL_AXES:
        return NEOCELL
    if 0 in weight:
        return "its constant is empty"
    if len(weight) != (4 if operator == "Conv" else 2):
        return f"its constant has {len(weight)} axes"
    if operator == "Gemm" and (
        attributes.get("transA", 0) or {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)} != {1.0}
    ):
        return "a Gemm with transA, alpha or beta of its own"
    return ""
