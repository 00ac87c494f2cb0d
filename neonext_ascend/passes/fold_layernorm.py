"""Fold LayerNorm's affine part into the linear layer behind it: ``W (g n + b) + c = (W g) n + (c + W b)``."""

from __future__ import annotations

from torch import fx

from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.deployed import ORIGIN
from neonext_ascend.passes.frozen.layers import FrozenLayerNorm, FrozenLinear
from neonext_ascend.passes.graph import describe, module_of, modules, place, where


class FoldLayerNorm(Pass):
    """``LayerNorm -> Linear``, as in the head."""

    name = "fold_layernorm"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, norm in modules(graph):
            if not isinstance(norm, FrozenLayerNorm) or not norm.constants:
                continue
            user = next(iter(node.users)) if len(node.users) == 1 else None
            linear = module_of(graph, user)
            if user is None or not isinstance(linear, FrozenLinear):
                follower = "several layers follow" if user is None else f"{describe(graph, user)} follows"
                report.refuse(where(node), f"{follower}, not one linear layer")
                continue
            weight, bias = linear.constants["weight"], linear.optional("bias")
            gain, offset = norm.optional("weight"), norm.optional("bias")
            if offset is not None:
                moved = weight.applied_to(offset)
                bias = moved if bias is None else bias + moved
            if gain is not None:
                weight = weight.scaled(gain, axis=1)
            place(graph, user, FrozenLinear(weight, bias))
            place(graph, node, FrozenLayerNorm(norm.size, norm.eps, None, None))
            node.meta[ORIGIN] = None
            report.changed.append(where(node))
