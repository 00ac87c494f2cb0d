"""Remove layers that do nothing in evaluation: Dropout, DropPath, Identity."""

from __future__ import annotations

from torch import fx, nn

from neonext_ascend.models.layers import DropPath
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.graph import absorb, modules, where

_NOOPS = (nn.Identity, nn.Dropout, nn.Dropout2d, DropPath)


class RemoveNoops(Pass):
    """``f(x) = x`` in evaluation mode: take it out."""

    name = "remove_noops"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, module in modules(graph):
            if type(module) not in _NOOPS:
                continue
            if module.training and not isinstance(module, nn.Identity):
                report.refuse(where(node), "it is in training mode; call .eval() on the network first")
                continue
            (source,) = node.all_input_nodes
            origin = source.meta.copy()
            absorb(graph, node, source)
            source.meta.update(origin)
            report.changed.append(where(node))
