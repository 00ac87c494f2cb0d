"""What is decided of each product of a graph: its scales and integers, or why it stays in floating point.

``x ~ scale_d q`` with ``q`` in -128..127, ``w ~ scale_w p`` with ``p`` in -127..127, ``b ~ scale_d scale_w r``; so
``w x + b ~ scale_d scale_w (p q + r)``. Symmetric, as the vendor's deploy form has it (hicann/amct, 2be20da).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -128, 127
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Product:
    """A Conv, Gemm or MatMul of a graph.

    Args:
        name, operator: of the node.
        value: that it reads.
        weight_name: of its constant.
        bias_name: of the constant that is added; empty where none is.
        adder: the Add behind a MatMul that adds it; empty where the node does.
    """

    name: str
    operator: str
    value: str
    weight_name: str
    bias_name: str
    adder: str


@dataclass(frozen=True, eq=False)
class Int8Layer(Product):
    """One in int8.

    Args:
        scale_d: of the value; float32.
        scale_w: of the weight; float32, one for each output channel of a Conv, else one.
        weight: int8, in the shape of the constant.
        bias: int32, or ``None``.
    """

    scale_d: np.float32
    scale_w: NDArray[np.float32]
    weight: NDArray[np.int8]
    bias: NDArray[np.int32] | None

    @property
    def scale(self) -> NDArray[np.float32]:
        """``scale_d scale_w``, with which the sums of products are multiplied; float32."""
        return self.scale_w * self.scale_d

    @property
    def quantiser(self) -> np.float32:
        """``1 / scale_d``, with which AscendQuant multiplies; float32."""
        return np.float32(1) / self.scale_d

    def to_json(self) -> dict[str, Any]:
        """Operator and scales."""
        return {
            "operator": self.operator,
            "scale_d": float(self.scale_d),
            "scale_w": [float(scale) for scale in self.scale_w],
        }


@dataclass(frozen=True, slots=True)
class Kept:
    """A product that stays in floating point, and why."""

    name: str
    operator: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """All products of a graph, in its order."""

    layers: tuple[Int8Layer, ...]
    kept: tuple[Kept, ...]

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why products stay, each reason said once, with their names."""
        found: dict[str, list[str]] = {}
        for one in self.kept:
            found.setdefault(one.reason, []).append(one.name)
        return found

    def keeping(self, names: Collection[str], reason: str) -> Decision:
        """The same with these layers in floating point."""
        moved = tuple(Kept(one.name, one.operator, reason) for one in self.layers if one.name in names)
        left = tuple(one for one in self.layers if one.name not in names)
        return replace(self, layers=left, kept=(*self.kept, *moved))

    def only(self, names: Collection[str]) -> Decision:
        """The same with no other layers in int8."""
        return replace(self, layers=tuple(one for one in self.layers if one.name in names))

    def to_json(self) -> dict[str, Any]:
        """Layers by name, and reasons with names."""
        return {"layers": {one.name: one.to_json() for one in self.layers}, "kept": self.reasons}


def bias_integers(bias: NDArray[np.floating[Any]], scale: NDArray[np.float32]) -> NDArray[np.int32] | None:
    """``round(b / (scale_w scale_d))``; ``None`` where int32 does not hold it."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a scale of 0 holds no bias
        found = np.rint(np.asarray(bias, np.float64) / scale.astype(np.float64))
    return found.astype(np.int32) if np.abs(found).max(initial=0) <= INT32.max else None
