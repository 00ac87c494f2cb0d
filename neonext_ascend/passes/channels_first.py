"""Turn linear layers between two permutes into 1x1 convolutions, and drop the permutes.

``permute(0, 2, 3, 1) -> Linear, GELU, .. -> permute(0, 3, 1, 2)`` computes for each pixel what 1x1 convolutions
compute on ``(N, C, H, W)`` directly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from neonext_ascend.passes import elementwise
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.deployed import ORIGIN
from neonext_ascend.passes.frozen.layers import FrozenConv2d, FrozenLinear
from neonext_ascend.passes.graph import absorb, describe, module_of, place, where

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


class ChannelsFirst(Pass):
    """Every region of pointwise layers that a pair of permutes encloses."""

    name = "channels_first"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node in list(graph.graph.nodes):
            if permutation(node) != TO_LAST or all(user.op == "output" for user in node.users):
                continue
            region = _Region(graph, node)
            if region.obstacle:
                report.refuse(where(node), region.obstacle)
                continue
            region.convert()
            report.changed.append(where(node))


class _Region:
    """What lies between one permute to channels last and the permutes back."""

    def __init__(self, graph: fx.GraphModule, start: fx.Node) -> None:
        self.graph, self.start = graph, start
        self.inside: list[fx.Node] = []
        self.ends: list[fx.Node] = []
        self.obstacle = ""
        open_nodes, seen = list(start.users), {start}
        while open_nodes and not self.obstacle:
            node = open_nodes.pop(0)
            if node in seen:
                continue
            seen.add(node)
            if permutation(node) == TO_FIRST:
                self.ends.append(node)
            elif self._is_pointwise(node):
                self.inside.append(node)
                open_nodes.extend(node.users)
            else:
                self.obstacle = f"{describe(graph, node)} works on the channels-last tensor"
        outsiders = [n for node in self.inside for n in node.all_input_nodes if n not in seen]
        if outsiders and not self.obstacle:
            self.obstacle = f"{describe(graph, outsiders[0])} joins the channels-last tensor from elsewhere"

    def _is_pointwise(self, node: fx.Node) -> bool:
        module = module_of(self.graph, node)
        if module is not None:
            return isinstance(module, (FrozenLinear, *elementwise.MODULES))
        return node.op == "call_function" and node.target in elementwise.UNARY | elementwise.BINARY

    def convert(self) -> None:
        for node in self.inside:
            linear = module_of(self.graph, node)
            if isinstance(linear, FrozenLinear):
                weight = linear.constants["weight"].reshaped(*linear.constants["weight"].shape, 1, 1)
                place(self.graph, node, FrozenConv2d(weight, linear.optional("bias")))
            # In the original this tensor is channels last: not comparable element by element.
            node.meta[ORIGIN] = None
        for end in self.ends:
            (source,) = end.all_input_nodes
            absorb(self.graph, end, source)
        self.start.replace_all_uses_with(self.start.all_input_nodes[0])
        self.graph.graph.erase_node(self.start)


def permutation(node: fx.Node) -> tuple[int, ...] | None:
    """The axes' order where ``node`` is a permute, else ``None``."""
    if (node.op, node.target) not in (("call_method", "permute"), ("call_function", torch.permute)):
        return None
    dims: Any = node.kwargs.get("dims", node.args[1:])
    if len(dims) == 1 and isinstance(dims[0], (tuple, list)):
        dims = dims[0]
    if not all(isinstance(d, int) for d in dims):
        return None
    return tuple(d % len(dims) for d in dims)
