"""Anybody's ONNX file as graphs of nodes with the dtypes and shapes that are known: subgraphs and local functions too.

Nothing is assumed: nodes without names, values without shapes, operators that ONNX does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx

from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.artifacts.vendor_operators import infer_shapes

# The default domain has two spellings.
DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor.

    Attributes:
        dtype: ``TensorProto.DataType``; 0 where it is unknown.
        shape: numbers, and names (or ``?``) of symbolic axes; ``None`` where not even the rank is known.
        constant: whether the file holds its numbers.
    """

    dtype: int = 0
    shape: tuple[int | str, ...] | None = None
    constant: bool = False

    @property
    def rank(self) -> int | None:
        """Axes, where known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One node; ``label`` is its name, or operator, number and first output; ``bodies`` are the graphs inside it."""

    label: str
    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    graph: Graph
    bodies: list[Graph] = field(default_factory=list)

    @property
    def standard(self) -> bool:
        """Of the domain ai.onnx."""
        return self.domain in DEFAULT_DOMAINS

    def value(self, index: int) -> Value:
        """Of its ``index``-th input."""
        return self.graph.value(self.inputs[index]) if index < len(self.inputs) else Value()

    def source(self, index: int) -> Node | None:
        """The node that computes its ``index``-th input."""
        return self.graph.producer(self.inputs[index]) if index < len(self.inputs) else None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The main graph, a subgraph (which sees its parent's values) or a local function's body.

    Attributes:
        owner: the node whose body it is.
        inputs, constants, outputs: their names, in the file's order.
        given: what inputs and constants give.
    """

    where: str
    opsets: Mapping[str, int]
    owner: Node | None
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    given: frozenset[str]
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)
    consumers: dict[str, list[Node]] = field(default_factory=dict)

    @property
    def parent(self) -> Graph | None:
        """The graph around a body."""
        return None if self.owner is None else self.owner.graph

    def value(self, name: str) -> Value:
        """What is known of a value."""
        if name in self.values or self.parent is None:
            return self.values.get(name, Value())
        return self.parent.value(name)

    def producer(self, name: str) -> Node | None:
        """The node that computes it; ``None`` for inputs and initializers."""
        if name in self.producers or name in self.values or self.parent is None:
            return self.producers.get(name)
        return self.parent.producer(name)


@dataclass(frozen=True, slots=True)
class Model:
    """A whole file.

    Attributes:
        graphs: the main one first.
        inputs: of the main graph, without those that an initializer fills.
        functions: (domain, name) of the local functions.
        inference_error: why ONNX could not infer shapes; empty where it could.
    """

    path: Path
    proto: onnx.ModelProto
    graphs: tuple[Graph, ...]
    inputs: tuple[onnx.ValueInfoProto, ...]
    functions: frozenset[tuple[str, str]]
    inference_error: str = ""

    @property
    def main(self) -> Graph:
        """The main graph."""
        return self.graphs[0]

    def nodes(self) -> Iterator[Node]:
        """Of all graphs."""
        for graph in self.graphs:
            yield from graph.nodes


def read_model(path: Path) -> Model:
    """The file at ``path``, its external data unopened; raises as :func:`~.skim.skim` does."""
    proto = skim_model(path)
    inferred, error = _inferred(proto)
    graphs: list[Graph] = []
    _fill(inferred.graph, graphs, "", _opsets(proto.opset_import))
    for function in proto.functions:
        _fill(function, graphs, f"function {function.name}", _opsets(function.opset_import))
    filled = frozenset(_constant_names(proto.graph))
    inputs = tuple(info for info in proto.graph.input if info.name not in filled)
    functions = frozenset((function.domain, function.name) for function in proto.functions)
    return Model(path, proto, tuple(graphs), inputs, functions, error)


def _inferred(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model with inferred shapes, or as it was with the reason."""
    try:
        return infer_shapes(proto), ""
    except Exception as error:  # a broken model may raise anything here, and is inspected all the same
        lines = str(error).strip().splitlines()
        return proto, lines[0][:120] if lines else type(error).__name__


def _fill(proto: Any, graphs: list[Graph], where: str, opsets: Mapping[str, int], owner: Node | None = None) -> Graph:
    """A GraphProto or FunctionProto and, behind it in ``graphs``, the bodies of its nodes."""
    if isinstance(proto, onnx.GraphProto):
        inputs, outputs = (tuple(info.name for info in infos) for infos in (proto.input, proto.output))
        constants = tuple(_constant_names(proto))
    else:
        inputs, outputs, constants = tuple(proto.input), tuple(proto.output), ()
    graph = Graph(where, opsets, owner, inputs, constants, outputs, frozenset((*inputs, *constants)))
    graphs.append(graph)
    if isinstance(proto, onnx.GraphProto):
        for info in (*proto.value_info, *proto.output, *proto.input):
            graph.values[info.name] = of_type(info.type)
        for tensor in proto.initializer:
            graph.values[tensor.name] = Value(tensor.data_type, tuple(tensor.dims), constant=True)
        for sparse in proto.sparse_initializer:
            graph.values[sparse.values.name] = Value(sparse.values.data_type, tuple(sparse.dims), constant=True)
    else:
        graph.values.update(dict.fromkeys(proto.input, Value()))
    for index, node_proto in enumerate(proto.node):
        node = _node(graph, index, node_proto)
        graph.nodes.append(node)
        graph.producers.update(dict.fromkeys((name for name in node.outputs if name), node))
        for name in node.inputs:
            graph.consumers.setdefault(name, []).append(node)
        if node.standard and node.op == "Constant" and node.outputs:
            graph.values[node.outputs[0]] = _constant(node, graph)
        for attribute in node.attributes.values():
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                node.bodies.append(_fill(body, graphs, f"{node.label}/{attribute.name}", opsets, node))
    return graph


def _node(graph: Graph, index: int, proto: onnx.NodeProto) -> Node:
    outputs = tuple(proto.output)
    label = proto.name or f"{proto.op_type} #{index}" + (f" -> {outputs[0]}" if outputs else "")
    return Node(
        label=f"{graph.where}/{label}" if graph.where else label,
        name=proto.name,
        op=proto.op_type,
        domain=proto.domain,
        inputs=tuple(proto.input),
        outputs=outputs,
        attributes={attribute.name: attribute for attribute in proto.attribute},
        graph=graph,
    )


def _constant(node: Node, graph: Graph) -> Value:
    if "value" not in node.attributes:
        return replace(graph.value(node.outputs[0]), constant=True)
    tensor = node.attributes["value"].t
    return Value(tensor.data_type, tuple(tensor.dims), constant=True)


def of_type(kind: onnx.TypeProto) -> Value:
    """What a declaration says; nothing for sequences, maps and optionals."""
    if not kind.HasField("tensor_type"):
        return Value()
    tensor = kind.tensor_type
    if not tensor.HasField("shape"):
        return Value(tensor.elem_type)
    return Value(tensor.elem_type, tuple(_axis(dim) for dim in tensor.shape.dim))


def _axis(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    # Some writers say -1 where they mean a symbol; ATC's parser reads a symbol as -1 as well (onnx_parser.cc).
    if dim.HasField("dim_value") and dim.dim_value != -1:
        return int(dim.dim_value)
    return dim.dim_param or "?"


def _constant_names(graph: onnx.GraphProto) -> list[str]:
    return [constant.name for constant in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer))]


def _opsets(imports: Any) -> dict[str, int]:
    """Version by domain; the last one counts, as in ATC's parser."""
    return {"" if entry.domain in DEFAULT_DOMAINS else entry.domain: int(entry.version) for entry in imports}
