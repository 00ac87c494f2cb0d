"""Fold LayerScale into the linear layer before it: ``gamma * (W x + b) = (gamma W) x + gamma b``."""

from __future__ import annotations

from torch import fx

from neonext_ascend.models.layers import LayerScale
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import FrozenLinear
from neonext_ascend.passes.graph import absorb, describe, module_of, modules, only_input, place, where


class FoldLayerScale(Pass):
    """LayerScale on the channels that a linear layer has just produced."""

    name = "fold_layer_scale"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, module in modules(graph):
            if type(module) is not LayerScale:
                continue
            source = only_input(node)
            linear = module_of(graph, source)
            if source is None or not isinstance(linear, FrozenLinear):
                report.refuse(where(node), f"it follows {describe(graph, source)}, not a linear layer")
            elif len(source.users) > 1:
                report.refuse(where(node), f"{describe(graph, source)} is used elsewhere too")
            else:
                gamma, bias = Deferred.of(module.gamma), linear.optional("bias")
                weight = linear.constants["weight"].scaled(gamma)
                place(graph, source, FrozenLinear(weight, bias.scaled(gamma) if bias else None))
                report.changed.append(where(node))
                absorb(graph, node, source)
