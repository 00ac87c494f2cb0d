"""Multiplications by numbers that are not zero, as those of a block-diagonal matrix are."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

from onnx import ModelProto

from neonext_ascend.artifacts.nonzero import nonzero_counts
from neonext_ascend.cost.answer import FileCost, Timed
from neonext_ascend.cost.rules import PRODUCTS


def with_useful(cost: FileCost, model: ModelProto, path: Path) -> FileCost:
    """The same, where products know how many of their constant's numbers are zero.

    Args:
        cost: of the model.
        model: whose weights were left out.
        path: of the file, whose constants are looked through.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    factors = {
        node.name or node.output[0]: name
        for node in model.graph.node
        if node.op_type in PRODUCTS and len(node.output)
        for name in node.input[:2]
        if name in constants
    }
    found = nonzero_counts(path, set(factors.values()))

    def counted(one: Timed) -> Timed:
        name = next((factors[node] for node in one.operator.nodes if node in factors), "")
        size = prod(constants[name].dims) if name in found else 0
        if size <= 0 or found[name] > size:  # a damaged file may hold other numbers than its shapes say
            return one
        return replace(one, useful=one.operator.work.dense * found[name] // size)

    return replace(cost, listing=tuple(counted(one) for one in cost.listing))
