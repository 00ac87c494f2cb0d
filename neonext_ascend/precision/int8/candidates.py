"""Which products of a graph can be int8, by the vendor's rules and by their constants, and why the others stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neonext_ascend.exporters.int8.decision import Kept, Product
from neonext_ascend.exporters.int8.eligible import why_not
from neonext_ascend.precision.modes import PRODUCTS


@dataclass(frozen=True, eq=False)
class Candidate(Product):
    """One that can be int8.

    Args:
        weight: float32, in the shape of the constant.
        bias: float32, one for each output channel, or ``None``.
        outputs, inputs: axes of the output's and the input's channels in the weight.
        channel: axis of the channels in the value.
        groups: of a Conv.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    outputs: int
    inputs: int
    channel: int
    groups: int = 1

    @property
    def per_channel(self) -> bool:
        """Whether each output channel has a scale of its own."""
        return self.operator == "Conv"


class Graph:
    """A model as int8 looks at it: every node has a name of its own, and so has every constant of a product.

    Args:
        model: float32; it is copied.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = ModelProto()
        self.model.CopyFrom(model)
        graph, taken = self.model.graph, set[str]()
        inner = [node for node in graph.node if node.op_type == "Constant" and node.attribute[:1]]
        for node in inner:
            if node.attribute[0].name == "value":
                held = graph.initializer.add()
                held.CopyFrom(node.attribute[0].t)
                held.name = node.output[0]
                graph.node.remove(node)
        for number, node in enumerate(graph.node):
            if not node.name or node.name in taken:
                node.name = f"{node.op_type}_{number}"
            taken.add(node.name)
        self.held = {tensor.name: tensor for tensor in graph.initializer}
        self._unshare()
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.makers = {name: node for node in graph.node for name in node.output}
        self.outputs = {value.name for value in graph.output}

    def _unshare(self) -> None:
        """Give each product, and each Add of a vector, constants that nothing else reads."""
        graph = self.model.graph
        reads = Counter(name for node in graph.node for name in node.input)
        reads.update(value.name for value in graph.output)
        taken = {name for node in graph.node for name in node.output} | set(self.held)
        for node in graph.node:
            for place, name in enumerate(node.input):
                rank = len(self.held[name].dims) if name in self.held else 0
                own = f"{name}.{node.name}"
                if (
                    rank
                    and reads[name] > 1
                    and own not in taken
                    and (node.op_type in PRODUCTS or (node.op_type, rank) == ("Add", 1))
                ):
                    reads[name] -= 1
                    taken.add(own)
                    self.held[own] = graph.initializer.add()
                    self.held[own].CopyFrom(self.held[name])
                    self.held[own].name = node.input[place] = own

    def array(self, name: str) -> NDArray[np.float32]:
        """A constant."""
        return np.asarray(numpy_helper.to_array(self.held[name]), np.float32)

    def alone(self, name: str) -> bool:
        """Whether one node reads this constant, once."""
        return len(self.readers.get(name, ())) == 1

    def products(self) -> Iterator[Candidate | Kept]:
        """Every product that has a constant, in the graph's order."""
        for node in self.model.graph.node:
            if node.op_type in PRODUCTS and any(name in self.held for name in node.input):
                found = self._looked_at(node)
                yield Kept(node.name, node.op_type, found) if isinstance(found, str) else found

    def _looked_at(self, node: NodeProto) -> Candidate | str:
        value, weight, *rest = node.input
        told = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        shapes = [self.held[name].dims if name in self.held else None for name in (value, weight)]
        if reason := why_not(node.op_type, told, *shapes):
            return reason
        if self.held[weight].data_type != TensorProto.FLOAT:
            return f"its constant is {TensorProto.DataType.Name(self.held[weight].data_type)}; int8 takes float32 alone"
        adder, bias = self._added(node, rest)
        if not self.alone(weight) or (bias and not self.alone(bias)):
            return "another node reads its constants too"
        held, outputs, inputs = self.array(weight), 0, 1
        if node.op_type == "MatMul" or not (node.op_type == "Conv" or told.get("transB", 0)):
            outputs, inputs = 1, 0
        if not np.isfinite(held).all():
            return "its weight holds what is no number"
        added = self.array(bias).reshape(-1) if bias else None
        if rest and rest[0] and (not bias or (added is not None and added.size != held.shape[outputs])):
            return "what it adds is no constant for each channel"
        channel, groups = (1, told.get("group", 1)) if node.op_type == "Conv" else (-1, 1)
        return Candidate(
            node.name, node.op_type, value, weight, bias, adder, held, added, outputs, inputs, channel, groups
        )

    def _added(self, node: NodeProto, rest: list[str]) -> tuple[str, str]:
        """The Add behind a MatMul that adds its bias, and that constant; of others the third input."""
        if node.op_type != "MatMul":
            return "", next((name for name in rest if name in self.held), "")
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Add" and node.output[0] not in self.outputs:
            others = [name for name in readers[0].input if name != node.output[0]]
            columns = self.held[node.input[1]].dims[1]
            if others and others[0] in self.held and list(self.held[others[0]].dims) == [columns]:
                return readers[0].name, others[0]
        return "", ""
