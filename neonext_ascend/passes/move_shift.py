"""Hand a NeoCell's shift on to the linear layer behind it: ``W (x + t) + b = W x + (b + W t)``."""

from __future__ import annotations

from torch import fx, nn

from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.channels_first import TO_LAST, permutation
from neonext_ascend.passes.deployed import ORIGIN
from neonext_ascend.passes.frozen.layers import FrozenConv2d, FrozenLinear
from neonext_ascend.passes.frozen.neocell import FrozenNeoCell
from neonext_ascend.passes.graph import describe, module_of, modules, place, where


class MoveShift(Pass):
    """A shift that is the same for every pixel of a channel, in front of a pointwise layer."""

    name = "move_shift"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, cell in modules(graph):
            if not isinstance(cell, FrozenNeoCell) or (shift := cell.optional("shift")) is None:
                continue
            user = _single_user(node)
            through = [node]
            if user is not None and permutation(user) == TO_LAST:
                through.append(user)
                user = _single_user(user)
            layer = module_of(graph, user)
            if user is None or not _takes_shift(layer, channels_last=len(through) > 1):
                follower = "several layers follow" if user is None else f"{describe(graph, user)} follows"
                report.refuse(where(node), f"{follower}, not one linear layer; the shift stays as an addition")
                continue
            assert isinstance(layer, (FrozenConv2d, FrozenLinear))
            weight, bias = layer.constants["weight"], layer.optional("bias")
            moved = weight.applied_to(shift)
            bias = moved if bias is None else bias + moved
            place(graph, node, cell.replaced())
            place(
                graph,
                user,
                FrozenConv2d(weight, bias) if isinstance(layer, FrozenConv2d) else FrozenLinear(weight, bias),
            )
            for passed in through:
                passed.meta[ORIGIN] = None
            report.changed.append(where(node))


def _single_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _takes_shift(layer: nn.Module | None, channels_last: bool) -> bool:
    if channels_last:
        return isinstance(layer, FrozenLinear)
    return isinstance(layer, FrozenConv2d) and layer.is_pointwise
