"""Overflow and underflow planted in a graph: a Mul by a power of two on a node's result, compensated behind it."""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.nodewise.nodes import values_of

PLANTED = "planted"


def largest_values(model: ModelProto, feeds: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Largest magnitude of each node's first output, by node."""
    steps = Steps(model)
    values = dict(values_of(steps, feeds))
    return {step.name: float(np.abs(values[step.outputs[0]]).max()) for step in steps.steps}


def plant(model: ModelProto, node: str, largest: float, up: bool) -> ModelProto:
    """A copy in which ``planted`` multiplies the node's result beyond fp16, or below it, and others undo that."""
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    (place,) = (i for i, one in enumerate(graph.node) if one.name == node)
    bits = math.ceil(math.log2(65504 / largest)) + 1 if up else -math.ceil(math.log2(largest * 2**25)) - 1
    result = graph.node[place].output[0]
    graph.node[place].output[0] = f"{result}/planted"
    steps, value = [], f"{result}/planted"
    # The last step up crosses the bound; the ones before it stay inside.
    for number, power in enumerate([*_parts(bits), *(-part for part in _parts(bits))]):
        name = PLANTED if number == len(_parts(bits)) - 1 else f"{PLANTED}.{number}"
        graph.initializer.append(numpy_helper.from_array(np.array(2.0**power, np.float32), f"{name}.factor"))
        target = f"{result}/{number}"
        steps.append(helper.make_node("Mul", [value, f"{name}.factor"], [target], name))
        value = target
    steps[-1].output[0] = result
    nodes = list(graph.node)
    nodes[place + 1 : place + 1] = steps
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(copy)
    return copy


def _parts(bits: int) -> list[int]:
    """Powers of at most 12 bits that sum to ``bits``: a larger one would itself be beyond fp16.

    They are about equal: a last one of a single bit would leave the crossing to the one before it.
    """
    count = -(-abs(bits) // 12)
    sign = 1 if bits > 0 else -1
    return [sign * (abs(bits) // count + (number < abs(bits) % count)) for number in range(count)]
