"""Turn NeoCells that shrink each patch to one pixel into strided convolutions.

With cells ``h x w -> 1 x 1``, ``Y[c, i, j] = sum_rs L_c[0, r] R_c[s, 0] X[c, i h + r, j w + s]`` is a depthwise
convolution of stride ``(h, w)``; behind a 1x1 convolution ``W`` the two together are one full convolution
``K[o, i, r, s] = W[o, i] L_o[0, r] R_o[s, 0]`` at the cost of W alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import FrozenConv2d
from neonext_ascend.passes.frozen.neocell import FrozenNeoCell
from neonext_ascend.passes.graph import absorb, module_of, modules, only_input, place, where


class FoldDownsampling(Pass):
    """Release: 1x1 convolution -> NeoCell 2 -> 1 becomes one 2x2 convolution; alone it becomes depthwise."""

    name = "fold_downsampling"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite."""
        for node, cell in modules(graph):
            if not isinstance(cell, FrozenNeoCell) or cell.geometry.keeps_size:
                continue
            cells = {group.cell for group in cell.geometry.groups}
            if len(cells) > 1 or any((c.h_out, c.w_out) != (1, 1) for c in cells) or cell.group("bias"):
                report.refuse(
                    where(node),
                    "only cells that shrink a patch to one pixel, without bias, are a convolution",
                )
                continue
            stride = next(iter(cells))
            kernel = _kernel(cell)
            source = only_input(node)
            conv = module_of(graph, source)
            if source is not None and isinstance(conv, FrozenConv2d) and conv.is_pointwise and len(source.users) == 1:
                place(
                    graph, source, _full_convolution(conv, kernel, cell.optional("shift"), (stride.h_in, stride.w_in))
                )
                report.changed.append(where(node))
                absorb(graph, node, source)
            else:
                depthwise = FrozenConv2d(
                    kernel, cell.optional("shift"), (stride.h_in, stride.w_in), cell.geometry.channels
                )
                place(graph, node, depthwise)
                report.changed.append(where(node))


def _kernel(cell: FrozenNeoCell) -> Deferred:
    """``L_c[0, r] R_c[s, 0]`` as ``(C, 1, h, w)``."""
    left, right = cell.group("left"), cell.group("right")
    shape = (cell.geometry.channels, 1, left[0].shape[2], right[0].shape[1])

    def compute() -> Tensor:
        rows = torch.cat([part.compute() for part in left])[:, 0]
        columns = torch.cat([part.compute() for part in right])[:, :, 0]
        return (rows[:, :, None] * columns[:, None, :])[:, None]

    return Deferred(shape, compute)


def _full_convolution(
    conv: FrozenConv2d, kernel: Deferred, shift: Deferred | None, stride: tuple[int, int]
) -> FrozenConv2d:
    weight, bias = conv.constants["weight"], conv.optional("bias")
    if bias is not None:
        # The kernel sums each patch of a constant: bias times the kernel's sum.
        before = bias
        bias = Deferred(before.shape, lambda: before.compute() * kernel.compute().sum((1, 2, 3)))
        shift = bias if shift is None else bias + shift
    return FrozenConv2d(
        Deferred((*weight.shape[:2], *stride), lambda: kernel.compute() * weight.compute()), shift, stride
    )
