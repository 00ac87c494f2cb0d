"""Nodes grouped as a compiler for these chips would run them: one operator each.

A product takes with it the BatchNorm, bias and activation behind it; a function that is spelled in several nodes is one
operator; a node that only names another shape is none. Each group says by which rule it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from neonext_ascend.cost.flow import Flow, Node
from neonext_ascend.cost.rules import ACTIVATIONS, BLOCK, KINDS, PRODUCTS, Kind
from neonext_ascend.runtimes.spelled import Function, Search

Step = Callable[[Sequence[Node], str], list[Node]]


@dataclass(frozen=True, slots=True)
class Group:
    """What the chip runs as one operator.

    Attributes:
        kind: of work.
        what: operator or function.
        nodes: of the file, in order; the first product, or function, gives the name.
        reads: values that are computed outside, each once.
        weights: constants of more than one number, each once.
        writes: values that others read, or the graph gives.
    """

    kind: Kind
    what: str
    nodes: tuple[Node, ...]
    reads: tuple[str, ...]
    weights: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its first node."""
        return self.nodes[0].name

    @property
    def heart(self) -> Node:
        """Its first node."""
        return self.nodes[0]


def grouped(flow: Flow) -> list[Group]:
    """All nodes of a graph, each in one group, in order."""
    return _Grouping(flow).groups()


class _Grouping:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.results = set(flow.outputs)
        self.numbers = {id(node): number for number, node in enumerate(flow.nodes)}
        search = Search(flow.nodes, flow.outputs, lambda name: flow.is_constant(name) and flow.tensors[name].size > 1)
        self.functions: dict[int, Function[Node]] = {}
        taken: set[int] = set()
        for function in search.functions():
            if taken.isdisjoint(map(id, function.nodes)):
                taken.update(map(id, function.nodes))
                self.functions.update((id(node), function) for node in function.nodes)
        self.done: set[int] = set()

    def groups(self) -> list[Group]:
        found = []
        for node in self.flow.nodes:
            if id(node) not in self.done:
                kind, what, nodes = self._started(node)
                self.done.update(map(id, nodes))
                found.append(self._group(kind, what, nodes))
        return found

    def _started(self, node: Node) -> tuple[Kind, str, list[Node]]:
        if function := self.functions.get(id(node)):
            return KINDS[function.name], function.name, list(function.nodes)
        if node.op in PRODUCTS and node.standard:
            return self._product_kind(node), node.op, self._with_epilogue(node)
        if not node.standard and node.op != "NPUGeluV2":
            return "unknown", node.op, [node]
        if self._is_noop(node):
            return "free", node.op, [node]
        kind = KINDS.get(node.op, "unknown")
        nodes = [node]
        if kind == "elementwise":  # sums of several branches, and the activation behind them
            nodes = self._with_tail(nodes, (self._residual, self._residual, self._activation))
        return kind, node.op, nodes

    def _product_kind(self, node: Node) -> Kind:
        if node.op in ("Conv", "ConvTranspose"):
            groups = int(node.attributes.get("group", 1))
            weight = self.flow.shape(node.inputs[1])
            if groups == 1:
                return "pointwise" if prod(weight[2:]) == 1 else "conv"
            return "depthwise" if len(weight) > 1 and weight[1] == 1 else "grouped"
        return "matmul" if self.flow.constants(node) else "attention"

    def _with_epilogue(self, node: Node) -> list[Node]:
        """BatchNorm, bias, the residual and one activation."""
        steps = (self._batch_norm, self._bias, self._residual, self._activation)
        return self._with_tail([node], steps)

    def _residual(self, readers: Sequence[Node], output: str) -> list[Node]:
        """An Add of another value of the same shape that is there already."""
        if len(readers) != 1 or readers[0].op != "Add" or id(readers[0]) in self.functions:
            return []
        others = [name for name in readers[0].inputs if name != output]
        if len(others) != 1 or self.flow.is_constant(others[0]):
            return []
        earlier = self._number(others[0]) < self._number(output)
        return [readers[0]] if earlier and self.flow.shape(others[0]) == self.flow.shape(output) else []

    def _number(self, value: str) -> int:
        """Of the node that makes it; -1 for inputs."""
        maker = self.flow.makers.get(value)
        return -1 if maker is None else self.numbers[id(maker)]

    def _with_tail(self, nodes: list[Node], steps: Sequence[Step]) -> list[Node]:
        """What follows and is read by nobody else, in this order, as far as it is there."""
        for step in steps:
            output = nodes[-1].outputs[0]
            readers = self.flow.readers.get(output, [])
            if output not in self.results and readers:
                nodes += step(readers, output)
        return nodes

    def _batch_norm(self, readers: Sequence[Node], output: str) -> list[Node]:
        return [readers[0]] if len(readers) == 1 and readers[0].op == "BatchNormalization" else []

    def _bias(self, readers: Sequence[Node], output: str) -> list[Node]:
        if len(readers) != 1 or readers[0].op != "Add" or id(readers[0]) in self.functions:
            return []
        others = [name for name in readers[0].inputs if name != output]
        vector = len(others) == 1 and self.flow.is_constant(others[0])
        shape = self.flow.shape(others[0]) if vector else ()
        return [readers[0]] if vector and prod(shape) == max(shape, default=1) else []

    def _activation(self, readers: Sequence[Node], output: str) -> list[Node]:
        function = self.functions.get(id(readers[0]))
        if function is not None:
            inside = all(self.functions.get(id(reader)) is function for reader in readers)
            return list(function.nodes) if inside and function.name in ACTIVATIONS and function.source == output else []
        if len(readers) == 1 and readers[0].op in ACTIVATIONS and not self.flow.variables(readers[0])[1:]:
            return [readers[0]]
        return []

    def _is_noop(self, node: Node) -> bool:
        """Whether the result is the input in another shape, and nothing moves."""
        if not node.inputs or not node.inputs[0] or not node.outputs:
            return False
        before, after = self.flow.shape(node.inputs[0]), self.flow.shape(node.outputs[0])
        if node.op in ("Pad", "Slice", "Expand", "Tile", "Resize", "Upsample") or (
            node.op == "Concat" and len(node.inputs) == 1
        ):
            return prod(before) == prod(after) and prod(before) > 0 and not _reverses(node, self.flow)
        if node.op == "Transpose" and before:
            order = node.attributes.get("perm") or range(len(before))[::-1]
            moved = [axis for axis in order if before[axis] != 1]
            swapped = [*range(len(before) - 2), len(before) - 1, len(before) - 2]
            readers = self.flow.readers.get(node.outputs[0], [])
            into = list(order) == swapped and bool(readers) and all(reader.op == "MatMul" for reader in readers)
            return moved == sorted(moved) or into
        return node.op == "Concat" and self._is_in_place(node)

    def _is_in_place(self, node: Node) -> bool:
        """Whether each part of a Concat can be written where it belongs: whole blocks of channels, read by it alone."""
        shapes = [self.flow.shape(name) for name in node.inputs]
        along = node.attributes.get("axis") == 1 and all(len(shape) == 4 and shape[1] % BLOCK == 0 for shape in shapes)
        return along and all(len(self.flow.readers.get(name, ())) == 1 for name in node.inputs)

    def _group(self, kind: Kind, what: str, nodes: list[Node]) -> Group:
        made = {name for node in nodes for name in node.outputs}
        inside = {id(node) for node in nodes}
        read = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in made)
        writes = tuple(
            name
            for name in made
            if name
            and (name in self.results or any(id(reader) not in inside for reader in self.flow.readers.get(name, ())))
        )
        variables = tuple(name for name in read if not self.flow.is_constant(name))
        weights = tuple(
            name
            for name in read
            if self.flow.is_constant(name) and self.flow.tensors[name].size > 1 and self.flow.tensors[name].floating
        )
        return Group(kind, what, tuple(nodes), variables, weights, writes)


def _reverses(node: Node, flow: Flow) -> bool:
    """Whether a Slice runs backwards."""
    if node.op != "Slice" or len(node.inputs) < 5 or not node.inputs[4]:
        return False
    steps = flow.tensors[node.inputs[4]].numbers
    return steps is None or bool(np.any(steps < 0))
