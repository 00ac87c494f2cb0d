"""What both graphs of a decision share: constants put in place of others, and nodes before and behind a product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, numpy_helper

from neonext_ascend.errors import ArtifactError
from neonext_ascend.exporters.int8.decision import Decision, Int8Layer


def rewritten(
    model: ModelProto, decision: Decision, write: Callable[[Int8Layer, NodeProto, NodeProto, Editing], None]
) -> ModelProto:
    """A copy in which ``write`` has changed each layer: its product, and the node that adds its bias.

    Raises:
        ArtifactError: the model is another one than the decision's, or has a name that is needed.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    edited = Editing(copy)
    for layer in decision.layers:
        node = edited.named(layer.name)
        write(layer, node, edited.named(layer.adder) if layer.adder else node, edited)
    edited.finish()
    return copy


class Editing:
    """A graph in the making."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self._nodes: dict[str, NodeProto] = {node.name: node for node in self.graph.node}
        self._held = {tensor.name: tensor for tensor in self.graph.initializer}
        self._taken = {name for node in self.graph.node for name in (node.name, *node.output)} | set(self._held)
        for values in (self.graph.input, self.graph.value_info):  # what is said of a constant holds for its old dtype
            said = [value for value in values if value.name not in self._held]
            del values[:]
            values.extend(said)
        self._before: dict[str, list[NodeProto]] = {}
        self._behind: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            if any(one.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for one in node.attribute):
                raise ArtifactError(
                    f"{node.name or node.op_type}: has a body of its own; int8 takes plain graphs alone"
                )

    def named(self, name: str) -> NodeProto:
        """A node."""
        if name not in self._nodes:
            raise ArtifactError(f"{name}: the graph has no such node; expected the graph that was calibrated")
        return self._nodes[name]

    def hold(self, name: str, value: NDArray[np.generic]) -> str:
        """A constant, in place of one of that name if there is one; its name."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        if name in self._held:
            self._held[name].CopyFrom(tensor)
        else:
            self.reserve(name)
            self._held[name] = self.graph.initializer.add()
            self._held[name].CopyFrom(tensor)
        return name

    def reserve(self, name: str) -> str:
        """A new name for a node or a value."""
        if name in self._taken:
            raise ArtifactError(f"{name}: the graph has this name already; int8 needs it: rename it")
        self._taken.add(name)
        return name

    def before(self, node: NodeProto, *nodes: NodeProto) -> None:
        """Nodes in front of another."""
        self._before.setdefault(node.name, []).extend(nodes)

    def behind(self, node: NodeProto, added: NodeProto, result: str) -> None:
        """A node behind another, whose result has a new name; the added one gives what it gave."""
        self._behind[node.name] = [added]
        node.output[0] = result

    def bias(self, node: NodeProto, name: str) -> None:
        """The constant that a product or an Add adds, where it had none or another."""
        if node.op_type == "Add":
            node.input[0 if node.input[0] in self._held else 1] = name
        elif len(node.input) > 2:
            node.input[2] = name
        else:
            node.input.append(name)

    def finish(self) -> None:
        """The nodes in their order."""
        nodes = [
            one
            for node in self.graph.node
            for one in (*self._before.get(node.name, ()), node, *self._behind.get(node.name, ()))
        ]
        kept = [NodeProto.FromString(one.SerializeToString()) for one in nodes]
        del self.graph.node[:]
        self.graph.node.extend(kept)
