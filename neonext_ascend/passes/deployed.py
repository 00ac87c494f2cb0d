"""The graph of a network on its way to deployment: it copies and pickles as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.fx.node import map_aggregate, map_arg

# node.meta[ORIGIN]: path of the module in the original network whose output this node equals.
ORIGIN = "neonext_origin"
# node.meta[SHAPE]: the node's output shape for batch 1, where it was propagated.
SHAPE = "neonext_shape"
_STATE = ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set", "training")


@dataclass(frozen=True, slots=True)
class _Place:
    """A node by its number, as an argument of another."""

    number: int


class Deployed(fx.GraphModule):
    """A graph module whose pickle holds its nodes with names and origins.

    torch's own holds Python code alone and traces it again: names and origins would be lost, and with them the points
    at which an exported file is compared.
    """

    def __copy__(self) -> Deployed:
        """Nodes of its own; the modules are shared."""
        nodes = fx.Graph()
        nodes.output(nodes.graph_copy(self.graph, {}))
        copied = Deployed(self, nodes, class_name="Deployed")
        copied.meta.update(self.meta)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        """The modules, what is known of the whole, and the nodes."""
        places = {node: _Place(number) for number, node in enumerate(self.graph.nodes)}

        def as_place(node: fx.Node) -> Any:
            return places[node]

        def row(node: fx.Node) -> tuple[Any, ...]:
            args, kwargs = (map_arg(arguments, as_place) for arguments in (node.args, node.kwargs))
            kept = {key: node.meta[key] for key in (ORIGIN, SHAPE) if key in node.meta}
            return node.op, node.target, args, kwargs, node.name, kept

        state = {name: self.__dict__[name] for name in _STATE}
        return _restored, (state, self.meta, [row(node) for node in self.graph.nodes])


def _restored(state: dict[str, Any], meta: dict[str, Any], rows: Sequence[tuple[Any, ...]]) -> Deployed:
    root, graph, nodes = nn.Module(), fx.Graph(), list[fx.Node]()
    root.__dict__.update(state)

    def argument(value: Any) -> Any:
        return nodes[value.number] if isinstance(value, _Place) else value

    for op, target, args, kwargs, name, kept in rows:
        node = graph.create_node(op, target, map_aggregate(args, argument), map_aggregate(kwargs, argument), name)
        node.meta.update(kept)
        nodes.append(node)
    result = Deployed(root, graph, class_name="Deployed")
    result.meta.update(meta)
    return result
