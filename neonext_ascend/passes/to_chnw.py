"""Put a whole network into the layout ``[C, H, N, W]``, where every product is a plain 2-D or 3-D matmul.

A pointwise layer is ``W (Co, Ci) @ X (Ci, H N W)``; a convolution whose stride is its kernel gathers its patches with
one Transpose and is then the same. NeoCell has been lowered for this layout before (:mod:`lower_neocell`). The input is
``(N, C, H, W)`` as ever; the stem's patches and the pooled vector take the two Transposes that a NeoNeXt needs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import Add, Crop, Product, Program, Reshape, Transpose
from neonext_ascend.passes import elementwise
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.channels_first import permutation
from neonext_ascend.passes.deployed import ORIGIN, SHAPE
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import FrozenConv2d
from neonext_ascend.passes.frozen.program import FrozenProgram
from neonext_ascend.passes.graph import describe, module_of, place, where
from neonext_ascend.spec import Layout

ENTER, LEAVE = (1, 2, 0, 3), (2, 0, 1, 3)  # (N, C, H, W) to [C, H, N, W] and back


class ToChnw(Pass):
    """Every map; what has no form in this layout keeps its own, with a Transpose before and behind it."""

    name = "to_chnw"

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite; shapes must have been propagated."""
        inside: set[fx.Node] = set()  # nodes whose value is [C, H, N, W]
        for node in list(graph.graph.nodes):
            if node.op in ("placeholder", "get_attr") or not any(_is_map(n) for n in (node, *node.all_input_nodes)):
                continue
            if _convert(graph, node, inside):
                report.changed.append(where(node))
                continue
            left = [source for source in node.all_input_nodes if source in inside]
            if left and node.op != "output":
                report.refuse(where(node), f"{describe(graph, node)} has no form in chnw; it keeps nchw")
            for source in left:
                _permuted(graph, source, LEAVE, node)
            if _is_map(node):
                # Its elements lie otherwise than those of every other point.
                node.meta[ORIGIN] = None


def _convert(graph: fx.GraphModule, node: fx.Node, inside: set[fx.Node]) -> bool:
    """Give the node its form in this layout; ``False`` where it has none."""
    module, order = module_of(graph, node), permutation(node)
    if order is not None and _is_map(node) and node.all_input_nodes[0] in inside:
        axes = [LEAVE[axis] for axis in order]
        node.op, node.target, node.args, node.kwargs = "call_method", "permute", (node.all_input_nodes[0], *axes), {}
        return True
    if isinstance(module, FrozenConv2d):
        program = _product_form(module, node.all_input_nodes[0], node.all_input_nodes[0] in inside)
        if program is None:
            return False
        if module.is_pointwise:
            _enter(graph, node, inside)
        place(graph, node, program)
    elif isinstance(module, FrozenProgram) or (
        _is_elementwise(node, module) and all(map(_is_map, node.all_input_nodes))
    ):
        _enter(graph, node, inside)
    elif _is_pooling(node) and node.all_input_nodes[0] in inside:
        _pool(graph, node)
        return True
    else:
        return False
    inside.add(node)
    return True


def _is_map(node: fx.Node) -> bool:
    return len(node.meta.get(SHAPE, ())) == 4


def _is_elementwise(node: fx.Node, module: object) -> bool:
    if module is not None:
        return isinstance(module, elementwise.MODULES)
    return node.op == "call_function" and node.target in elementwise.UNARY | elementwise.BINARY


def _is_pooling(node: fx.Node) -> bool:
    """Whether it is the mean over height and width that keeps neither."""
    if (node.op, node.target) not in (("call_method", "mean"), ("call_function", torch.mean)):
        return False
    if len(node.meta[SHAPE]) != 2 or set(node.kwargs) - {"dim", "axis", "keepdim"}:
        return False
    dims: Any = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else ()))
    return isinstance(dims, (tuple, list)) and sorted(int(d) % 4 for d in dims) == [2, 3]


def _enter(graph: fx.GraphModule, node: fx.Node, inside: set[fx.Node]) -> None:
    for source in node.all_input_nodes:
        if source not in inside:
            inside.add(_permuted(graph, source, ENTER, node))


def _permuted(graph: fx.GraphModule, source: fx.Node, order: tuple[int, ...], reader: fx.Node) -> fx.Node:
    """``source`` with its axes in another order, for one reader."""
    with graph.graph.inserting_before(reader):
        permuted = graph.graph.call_method("permute", (source, *order))
    permuted.meta[ORIGIN] = None
    reader.replace_input_with(source, permuted)
    return permuted


def _pool(graph: fx.GraphModule, node: fx.Node) -> None:
    """The mean over height and width ``(C, N)``, then ``(N, C)``."""
    with graph.graph.inserting_before(node):
        mean = graph.graph.call_method("mean", (node.all_input_nodes[0], (1, 3)))
    mean.meta[ORIGIN] = None
    node.op, node.target, node.args, node.kwargs = "call_method", "permute", (mean, 1, 0), {}


def _product_form(conv: FrozenConv2d, source: fx.Node, inside: bool) -> FrozenProgram | None:
    """The convolution as a product, or ``None`` where it is none."""
    weight, bias = conv.constants["weight"], conv.optional("bias")
    outputs, inputs, *kernel = weight.shape
    if conv.groups != 1 or tuple(kernel) != conv.stride:
        return None
    given = source.meta[SHAPE][2:]
    height, width = (n + more for n, more in zip(given, conv.zeros, strict=True))
    layout: Layout = "chnw" if inside or conv.is_pointwise else "nchw"
    out = (height // kernel[0], width // kernel[1])
    steps: Program = () if conv.is_pointwise else _patches(inputs, (height, width), (kernel[0], kernel[1]), layout)
    if any(conv.zeros):
        steps = (Maps(inputs, layout).padded(*conv.zeros), *steps)
    columns = inputs * kernel[0] * kernel[1]
    steps = (*steps, Reshape((columns, -1)), Product("weight", "left"))
    constants: dict[str, Deferred | None] = {"weight": weight.reshaped(outputs, columns)}
    if bias is not None:
        steps, constants["bias"] = (*steps, Add("bias")), bias.reshaped(outputs, 1)
    steps = (*steps, Maps(outputs, "chnw").whole(*out))
    expects = (inputs, given[0], None, given[1]) if layout == "chnw" else (None, inputs, *given)
    return FrozenProgram("convolution as a product", steps, constants, expects)


def _patches(inputs: int, size: tuple[int, int], kernel: tuple[int, int], layout: Layout) -> Program:
    """To ``(inputs, rows, columns of a patch, H', N, W')``; what does not fill a patch is dropped."""
    (p, q), (_, *axes) = kernel, Maps(inputs, layout).axes
    rows, columns = size[0] // p, size[1] // q
    kept = tuple((axis, 0, n * k) for axis, n, k in zip(axes, (rows, columns), kernel, strict=True))
    crop: tuple[Any, ...] = (Crop(kept),) if (rows * p, columns * q) != size else ()
    if layout == "nchw":
        return (*crop, Reshape((-1, inputs, rows, p, columns, q)), Transpose((1, 3, 5, 2, 0, 4)))
    return (*crop, Reshape((inputs, rows, p, -1, columns, q)), Transpose((0, 2, 5, 1, 3, 4)))
