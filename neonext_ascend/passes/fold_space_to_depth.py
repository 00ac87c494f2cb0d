"""Fold space-to-depth into the 1x1 convolution behind it: together they are one p x p convolution of stride p."""

from __future__ import annotations

from torch import fx, nn

from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.frozen.layers import FrozenConv2d
from neonext_ascend.passes.graph import describe, module_of, modules, only_input, place, where


class FoldSpaceToDepth(Pass):
    """``PixelUnshuffle(p) -> Conv 1x1``; channel order ``c * p * p + row * p + column``, as in the stem."""

    name = "fold_space_to_depth"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, module in modules(graph):
            if not isinstance(module, nn.PixelUnshuffle):
                continue
            user = next(iter(node.users)) if len(node.users) == 1 else None
            conv = module_of(graph, user)
            if user is None or not isinstance(conv, FrozenConv2d) or not conv.is_pointwise:
                follower = "several layers follow" if user is None else f"{describe(graph, user)} follows"
                report.refuse(where(node), f"{follower}, not one 1x1 convolution")
                continue
            p, source = module.downscale_factor, only_input(node)
            if source is None:
                continue
            outputs, inputs = conv.constants["weight"].shape[:2]
            weight = conv.constants["weight"].reshaped(outputs, inputs // (p * p), p, p)
            place(graph, user, FrozenConv2d(weight, conv.optional("bias"), (p, p), whole=True))
            report.changed.append(where(node))
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
