"""Fold BatchNorm into the layer before it.

In evaluation BatchNorm is ``y = s x + t`` with ``s = weight / sqrt(running_var + eps)`` and
``t = bias - s running_mean`` for each channel. A convolution takes both; of a NeoCell, L takes ``s`` (A holds
copies of L, so ``s A X B``) and ``t`` becomes a shift that :mod:`move_shift` hands on.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from neonext_ascend.passes import elementwise
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import Frozen, FrozenConv2d
from neonext_ascend.passes.frozen.neocell import FrozenNeoCell
from neonext_ascend.passes.graph import absorb, describe, module_of, modules, only_input, place, where


class FoldBatchNorm(Pass):
    """BatchNorm2d or SyncBatchNorm behind a NeoCell or a convolution."""

    name = "fold_batchnorm"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, norm in modules(graph):
            if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
                continue
            source = only_input(node)
            layer = module_of(graph, source)
            obstacle = _obstacle(norm)
            if not obstacle and not isinstance(layer, (FrozenConv2d, FrozenNeoCell)):
                obstacle = f"{describe(graph, source)} stands before it, not a NeoCell or a convolution"
            if not obstacle and source is not None and len(source.users) > 1:
                obstacle = f"{describe(graph, source)} is used elsewhere too"
            if obstacle or source is None:
                report.refuse(where(node), obstacle)
                continue
            place(graph, source, _folded(layer, *affine(norm)))
            report.changed.append(where(node))
            absorb(graph, node, source)


def _obstacle(norm: nn.modules.batchnorm._BatchNorm) -> str:
    if "running_mean" not in dict(norm.named_buffers()):
        return "it has no running statistics; it normalises each batch by itself"
    if norm.training:
        return "it is in training mode; call .eval() on the network first"
    if type(norm) not in elementwise.BATCH_NORMS:
        return f"{type(norm).__name__} is not folded; only BatchNorm2d and SyncBatchNorm"
    return ""


def affine(norm: nn.modules.batchnorm._BatchNorm) -> tuple[Deferred, Deferred]:
    """``s (C,)`` and ``t (C,)`` of a BatchNorm with running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, var = norm.running_mean.detach(), norm.running_var.detach()
    weight, bias = (norm.weight.detach(), norm.bias.detach()) if norm.affine else (None, None)

    def scale() -> Tensor:
        s = torch.rsqrt(var.double() + norm.eps)
        return s if weight is None else s * weight.double()

    def shift() -> Tensor:
        t = -mean.double() * scale()
        return t if bias is None else t + bias.double()

    shape = tuple(mean.shape)
    return Deferred(shape, scale), Deferred(shape, shift)


def _folded(layer: nn.Module | None, s: Deferred, t: Deferred) -> Frozen:
    if isinstance(layer, FrozenConv2d):
        bias = layer.optional("bias")
        return FrozenConv2d(
            layer.constants["weight"].scaled(s),
            t if bias is None else bias.scaled(s) + t,
            layer.stride,
            layer.groups,
            layer.whole,
        )
    assert isinstance(layer, FrozenNeoCell)
    former = layer.optional("shift")
    return layer.replaced(scale=s, shift=t if former is None else former.scaled(s) + t)
