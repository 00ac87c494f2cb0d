"""Channels of a value brought to like reach, so that one scale does for all: powers of two, exact in float32.

Between the node that makes a value and the products that read it, each channel of the maker's constants takes
``2^-k`` and the readers' weights take ``2^k``. With ``x`` the channel's reach and ``w`` that of its weights, ``k`` is
half of ``log2 x - log2 w``: the vendor's DMQ at its published strength of 0.5, restricted to powers of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.collecting import Seen

_MOST = 60  # powers of two; float32 has room for far more


@dataclass(frozen=True, eq=False)
class Balance:
    """What one value's channels are divided by.

    Args:
        value: its name.
        exponents: of two, one a channel.
        makers: constants that take ``2^-k``, each with the axis of the channels.
        readers: weights that take ``2^k``, likewise.
    """

    value: str
    exponents: NDArray[np.int64]
    makers: Mapping[str, int]
    readers: Mapping[str, int]


def balances(graph: Graph, seen: Mapping[str, Seen]) -> list[Balance]:
    """What can be balanced: a value of a product, through Relu, that nothing but products reads along that axis."""
    made = (
        Balance(value, _exponents(seen[value], candidates), makers, _read(candidates))
        for value, makers, candidates in _places(graph)
    )
    return [one for one in made if one.exponents.any()]


def balanced_as(model: ModelProto, exponents: Mapping[str, Sequence[int]]) -> ModelProto:
    """A model balanced as another one of the same network was: by value, a power for each channel."""
    graph = Graph(model)
    return balance(
        graph,
        [
            Balance(value, np.asarray(exponents[value], np.int64), makers, _read(candidates))
            for value, makers, candidates in _places(graph)
            if value in exponents
        ],
    ).model


def _read(candidates: Sequence[Candidate]) -> dict[str, int]:
    return {one.weight_name: one.inputs for one in candidates}


def _places(graph: Graph) -> Iterator[tuple[str, dict[str, int], list[Candidate]]]:
    """Values with the constants that scale them and the products that read them."""
    readers: dict[str, list[Candidate]] = {}
    for found in graph.products():
        if isinstance(found, Candidate):
            readers.setdefault(found.value, []).append(found)
    for value, candidates in readers.items():
        channel = candidates[0].channel
        plain = all(one.groups == 1 and one.channel == channel for one in candidates)
        if plain and len(graph.readers[value]) == len(candidates) and value not in graph.outputs:
            makers = _makers(graph, value, channel)
            if makers is not None:
                yield value, makers, candidates


def balance(graph: Graph, found: Sequence[Balance]) -> Graph:
    """The graph with its constants multiplied so: the same function, bit for bit but for what float32 cannot hold."""
    balanced = Graph(graph.model)
    for one in found:
        for sign, constants in ((-1, one.makers), (1, one.readers)):
            for name, axis in constants.items():
                held = numpy_helper.to_array(balanced.held[name])
                shape = [1] * held.ndim
                shape[axis] = -1
                value = np.ldexp(held, sign * one.exponents.reshape(shape))
                balanced.held[name].CopyFrom(numpy_helper.from_array(value.astype(held.dtype), name))
    return balanced


def _exponents(seen: Seen, readers: Sequence[Candidate]) -> NDArray[np.int64]:
    weights = np.max([_reach(one) for one in readers], axis=0)
    live = (seen.reach > 0) & (weights > 0)
    with np.errstate(divide="ignore"):
        wanted = np.where(live, 0.5 * (np.log2(seen.reach) - np.log2(weights)), 0.0)
    middle = np.median(wanted[live]) if live.any() else 0.0
    exponents = np.clip(np.rint(wanted - middle), -_MOST, _MOST)
    return np.where(live, exponents, 0).astype(np.int64)


def _reach(one: Candidate) -> NDArray[np.float32]:
    """Of the weights that read each channel."""
    others = tuple(axis for axis in range(one.weight.ndim) if axis != one.inputs)
    reach: NDArray[np.float32] = np.abs(one.weight).max(axis=others)
    return reach


def _makers(graph: Graph, value: str, channel: int) -> dict[str, int] | None:
    """The constants that scale a value along this axis; ``None`` where there are none of its own."""
    node = graph.makers.get(value)
    while node is not None and node.op_type == "Relu" and _one_reader(graph, node.input[0]):
        node = graph.makers.get(node.input[0])
    axes: dict[str, int] = {}
    if node is not None and node.op_type == "Add":
        # A vector that is added along the last axis, behind its MatMul.
        axes = {name: 0 for name in node.input if name in graph.held and len(graph.held[name].dims) == 1}
        others = [name for name in node.input if name not in axes]
        behind = len(others) == 1 and _one_reader(graph, others[0])
        node = graph.makers.get(others[0]) if axes and behind else None
        node = node if node is not None and node.op_type == "MatMul" else None
    found = {} if node is None else _axes(node, graph, channel)
    axes = {**found, **axes}
    return axes if found and all(graph.alone(name) for name in axes) else None


def _axes(node: NodeProto, graph: Graph, channel: int) -> dict[str, int]:
    if len(node.input) < 2:
        return {}
    first, second = node.input[:2]
    held = [name for name in node.input[2:] if name]
    if node.op_type == ("Conv" if channel == 1 else "Gemm") and all(name in graph.held for name in (second, *held)):
        turned = node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute)
        return {second: 1 if turned else 0, **{name: len(graph.held[name].dims) - 1 for name in held}}
    constants = [name for name in (first, second) if name in graph.held]
    if node.op_type == "MatMul" and len(constants) == 1:
        rank = len(graph.held[constants[0]].dims)
        if channel == 1 and rank == 3:
            return {constants[0]: 0}  # a NeoCell's A or B: [C, W, W]
        if channel == -1 and rank == 2 and constants == [second]:
            return {second: 1}
    return {}


def _one_reader(graph: Graph, name: str) -> bool:
    return len(graph.readers.get(name, ())) == 1 and name not in graph.outputs
