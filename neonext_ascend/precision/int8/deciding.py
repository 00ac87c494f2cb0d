"""Statistics and weights to a decision: scales, integers, and biases that make up for what rounding takes away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.exporters.int8.decision import HIGHEST, Decision, Int8Layer, Kept, bias_integers
from neonext_ascend.precision.int8.calibrators import Calibrator, reach
from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.collecting import Seen

# Terms of a sum of products that int32 holds: 2^31 / (128 127).
_MOST_TERMS = 132_104
Rounding = Literal["nearest", "adaround"]
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
NEAREST: Mapping[str, NDArray[np.int8]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Settings:
    """How a graph is quantised.

    Args:
        calibrator: of the values.
        balance: move powers of two between a value's channels and the weights that read it.
        correct_bias: add to each bias what the rounded weight loses on the mean input.
        rounding: of the weights: each to the nearest integer, or AdaRound.
    """

    calibrator: Calibrator = "mse"
    balance: bool = True
    correct_bias: bool = True
    rounding: Rounding = "nearest"


def decided(
    graph: Graph,
    seen: Mapping[str, Seen],
    settings: Settings = Settings(),
    weights: Mapping[str, NDArray[np.int8]] = NEAREST,
) -> Decision:
    """The decision for a graph whose values were seen.

    Args:
        graph: its products.
        seen: the values that they read.
        settings: how.
        weights: by the layer's name, integers in place of the nearest ones.
    """
    layers, kept = list[Int8Layer](), list[Kept]()
    for found in graph.products():
        made = found if isinstance(found, Kept) else _layer(found, seen[found.value], settings, weights)
        if isinstance(made, Int8Layer):
            layers.append(made)
        else:
            kept.append(made)
    return Decision(tuple(layers), tuple(kept))


def weight_scales(one: Candidate) -> NDArray[np.float32]:
    """The largest magnitude of each output channel over 127; of Gemm and MatMul that of the whole weight."""
    largest = np.abs(one.weight)
    over = largest.reshape(len(largest), -1).max(1) if one.per_channel else largest.max(initial=0.0, keepdims=True)
    scales = over.reshape(-1).astype(np.float32) / np.float32(HIGHEST)
    return np.where(scales > 0, scales, np.float32(1.0)).astype(np.float32)


def _layer(one: Candidate, seen: Seen, settings: Settings, weights: Mapping[str, NDArray[np.int8]]) -> Int8Layer | Kept:
    def refused(reason: str) -> Kept:
        return Kept(one.name, one.operator, reason)

    end = reach(seen.histogram, settings.calibrator)
    scale_d, scale_w = np.float32(end / HIGHEST), weight_scales(one)
    if scale_d < np.finfo(np.float32).tiny * 2**20:
        return refused("its input was 0 on every calibration picture")
    if one.weight.size // one.weight.shape[one.outputs] > _MOST_TERMS:
        return refused("int32 does not hold so many products")
    spread = scale_w.reshape(-1, 1, 1, 1) if one.per_channel else scale_w.reshape(1, 1)
    weight = weights.get(one.name)
    if weight is None:
        weight = np.clip(np.rint(one.weight / spread), -HIGHEST, HIGHEST).astype(np.int8)
    bias = one.bias
    if settings.correct_bias and (bias is not None or one.operator != "MatMul"):
        lost = _lost(one, weight * spread.astype(np.float64), seen)
        bias = (lost if bias is None else bias + lost).astype(np.float32)
    scale = scale_w * scale_d
    integers = None if bias is None else bias_integers(bias, scale)
    if bias is not None and integers is None:
        return refused("int32 does not hold its bias in steps of its scales")
    name = one.bias_name or (f"{one.name}.bias_int32" if bias is not None else "")
    return Int8Layer(
        one.name, one.operator, one.value, one.weight_name, name, one.adder, scale_d, scale_w, weight, integers
    )


def _lost(one: Candidate, rounded: NDArray[np.float64], seen: Seen) -> NDArray[np.float64]:
    """What the rounded weight gives less of than the weight itself, on the mean input; one for each output channel.

    Padding is taken for the mean; our networks have none.
    """
    axes = tuple(axis for axis in range(2, one.weight.ndim))
    difference = (one.weight - rounded).sum(axis=axes)
    if one.outputs == 1:
        difference = difference.T
    # A group's outputs read its own channels alone.
    means = seen.means.reshape(one.groups, 1, -1)
    rows: NDArray[np.float64] = (difference.reshape(one.groups, -1, difference.shape[1]) * means).sum(-1).reshape(-1)
    return rows
