"""The order in which a graph's nodes can be computed, what stands against one, and what nodes' bodies read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

import onnx
from onnx import GraphProto, NodeProto

from neonext_ascend.errors import ArtifactError, counted


def ordered(graph: GraphProto, where: str) -> list[NodeProto]:
    """The nodes so that each stands behind what it reads; the file's own order where that holds.

    Args:
        graph: a model's.
        where: the file, for the words; empty, or with a colon behind it.

    Raises:
        ArtifactError: a tensor is given twice or by nobody, or nodes wait for each other.
    """
    results = [name for node in graph.node for name in node.output if name]
    for given in (graph.input, graph.initializer):
        for name, count in Counter([*(value.name for value in given), *results]).items():
            if count > 1:
                raise ArtifactError(f"{where}{name}: is given {count} times; export it again")
    known = {*(value.name for value in (*graph.input, *graph.initializer)), *results}
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    waits: dict[int, set[int]] = {}
    for number, node in enumerate(graph.node):
        read = (*filter(None, node.input), *captured(node))
        waits[number] = {makers[name] for name in read if name in makers}
        _refuse_unknown(set(read) - known, f"{where}{node.name or node.op_type}: reads")
    _refuse_unknown({value.name for value in graph.output} - known, f"{where}its output is")
    sorter = TopologicalSorter(waits)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = [graph.node[number].name or graph.node[number].op_type for number in error.args[1]]
        raise ArtifactError(
            f"{where}{circle[0]}: waits for itself through {counted(len(circle) - 1, 'node')}"
        ) from None
    ready, done = sorted(sorter.get_ready()), list[NodeProto]()
    while ready:
        number = heappop(ready)
        done.append(graph.node[number])
        sorter.done(number)
        for freed in sorter.get_ready():
            heappush(ready, freed)
    return done


def _refuse_unknown(names: set[str], what: str) -> None:
    if names:
        raise ArtifactError(f"{what} {min(names)!r}, which no node, input or constant gives; export it again")


def captured(node: NodeProto) -> list[str]:
    """What a node's bodies read from outside."""
    names: list[str] = []
    for graph in bodies(node):
        inside = {value.name for value in (*graph.input, *graph.initializer)}
        inside |= {name for inner in graph.node for name in inner.output}
        read = [name for inner in graph.node for name in (*filter(None, inner.input), *captured(inner))]
        names += [name for name in (*read, *(value.name for value in graph.output)) if name not in inside]
    return names


def bodies(node: NodeProto) -> Iterable[GraphProto]:
    """The graphs inside a node, such as the branches of an If."""
    for attribute in node.attribute:
        yield from (attribute.g,) if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def rename_captured(node: NodeProto, names: Mapping[str, str]) -> None:
    """What sub-graphs read from outside, by its new name; what they make themselves hides a name outside."""
    for body in bodies(node):
        inside = {value.name for value in (*body.input, *body.initializer)}
        inside |= {name for inner in body.node for name in inner.output}
        outside = {name: new for name, new in names.items() if name not in inside}
        for inner in body.node:
            inner.input[:] = [outside.get(name, name) for name in inner.input]
            rename_captured(inner, outside)
        for value in body.output:
            value.name = outside.get(value.name, value.name)
