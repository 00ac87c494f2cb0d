"""From a prepared layer to ONNX nodes: one function for each kind of layer, found by a table.

Operators are those that ATC's ONNX parser registers at opsets 8 to 18; LayerNormalization only at 17 and 18.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.exporters.onnx_file.gelu import emit_gelu
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.exporters.onnx_file.program import emit_program
from neonext_ascend.passes import elementwise
from neonext_ascend.passes.channels_first import permutation
from neonext_ascend.passes.deployed import SHAPE
from neonext_ascend.passes.fold_batchnorm import affine
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import Frozen, FrozenConv2d, FrozenLayerNorm, FrozenLinear
from neonext_ascend.passes.frozen.program import FrozenProgram

# (graph, fx node, module or None, input value names, output value name) -> nothing; appends nodes.
Emitter = Callable[[OnnxGraph, fx.Node, Any, list[str], str], None]

LAYER_NORMALIZATION_SINCE = 17
REDUCE_AXES_INPUT_SINCE = 18


def emitter_for(node: fx.Node, module: nn.Module | None) -> Emitter:
    """The function that writes this node.

    Raises:
        PassRefusedError: there is none for such a layer.
    """
    if module is not None:
        found = _MODULES.get(type(module))
        what = f"layer {type(module).__name__} at {node.target!r}"
    else:
        found = _FUNCTIONS.get(node.target)
        what = f"operation {getattr(node.target, '__name__', node.target)!r} ({node.name})"
    if found is not None:
        _check_arguments(node)
    if found is None:
        raise PassRefusedError(
            f"{what} has no ONNX form here; expected NeoCell, convolution without padding, linear, BatchNorm2d, "
            "LayerNorm, GELU, ReLU, add, mul, mean, permute or flatten; torch.onnx.export takes the prepared "
            "network too"
        )
    return found


# Keyword arguments that the emitters read; any other would be lost without a word.
_KEYWORDS = {"dim", "axis", "keepdim", "dims", "approximate", "inplace", "start_dim", "end_dim"}


def _check_arguments(node: fx.Node) -> None:
    for name, value in node.kwargs.items():
        if name not in _KEYWORDS or isinstance(value, fx.Node):
            raise PassRefusedError(f"{node.name}: argument {name!r} is not emitted; pass tensors by position alone")


def _conv(graph: OnnxGraph, node: fx.Node, conv: FrozenConv2d, inputs: list[str], out: str) -> None:
    graph.node(
        "Conv",
        [*inputs, *_constants(graph, conv, out, node)],
        out,
        kernel_shape=list(conv.constants["weight"].shape[2:]),
        strides=list(conv.stride),
        group=conv.groups,
        **({"pads": [0, 0, *conv.zeros]} if any(conv.zeros) else {}),
    )


def _linear(graph: OnnxGraph, node: fx.Node, linear: FrozenLinear, inputs: list[str], out: str) -> None:
    if len(node.meta[SHAPE]) == 2:
        graph.node("Gemm", [*inputs, *_constants(graph, linear, out, node)], out, transB=1)
        return
    weight, bias = linear.constants["weight"], linear.optional("bias")
    transposed = Deferred(weight.shape[::-1], lambda: weight.compute().T)
    base = _base(node)
    product = graph.reserve(f"{out}.product") if bias else out
    graph.node("MatMul", [*inputs, graph.constant(f"{base}.weight", transposed)], product)
    if bias:
        graph.node("Add", [product, graph.constant(f"{base}.bias", bias)], out)


def _layer_norm(graph: OnnxGraph, node: fx.Node, norm: FrozenLayerNorm, inputs: list[str], out: str) -> None:
    base = _base(node)
    weight, bias = norm.optional("weight"), norm.optional("bias")
    if graph.opset >= LAYER_NORMALIZATION_SINCE:
        ones = Deferred((norm.size,), lambda: torch.ones(norm.size, dtype=torch.float64))
        names = [graph.constant(f"{base}.weight", weight or ones)]
        names += [graph.constant(f"{base}.bias", bias)] if bias else []
        graph.node("LayerNormalization", [*inputs, *names], out, axis=-1, epsilon=norm.eps)
        return

    def step(op: str, inputs: list[str], name: str) -> str:
        return graph.node(op, inputs, graph.reserve(f"{base}.{name}"))

    centred = step("Sub", [*inputs, _reduce_mean(graph, inputs, graph.reserve(f"{base}.mean"), [-1], True)], "centred")
    squared = step("Mul", [centred, centred], "squared")
    variance = _reduce_mean(graph, [squared], graph.reserve(f"{base}.variance"), [-1], True)
    steady = step("Add", [variance, graph.scalar(f"{base}.epsilon", norm.eps)], "variance_epsilon")
    value = step("Sqrt", [steady], "deviation")
    last = [name for name, part in (("normalised", True), ("scaled", weight), ("shifted", bias)) if part][-1]
    value = graph.node("Div", [centred, value], out if last == "normalised" else graph.reserve(f"{base}.normalised"))
    if weight:
        scaled = out if last == "scaled" else graph.reserve(f"{base}.scaled")
        value = graph.node("Mul", [value, graph.constant(f"{base}.weight", weight)], scaled)
    if bias:
        graph.node("Add", [value, graph.constant(f"{base}.bias", bias)], out)


def _batch_norm(graph: OnnxGraph, node: fx.Node, norm: nn.BatchNorm2d, inputs: list[str], out: str) -> None:
    if norm.running_mean is None or norm.running_var is None or norm.training:
        raise PassRefusedError(f"BatchNorm at {node.target!r} has no fixed statistics; a deployed network needs them")
    base, size = _base(node), norm.num_features
    held: Any = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if any(tensor is not None and tensor.shape != (size,) for tensor in held):
        raise PassRefusedError(f"BatchNorm at {node.target!r} has constants of another shape than ({size},)")
    scale, shift = affine(norm)
    # The affine form is already known: mean 0 and variance 1 leave nothing else to the operator.
    names = [graph.constant(f"{base}.scale", scale), graph.constant(f"{base}.shift", shift)]
    ones = Deferred((size,), lambda: torch.ones(size, dtype=torch.float64))
    names += [graph.constant(f"{base}.mean", Deferred.zeros(size)), graph.constant(f"{base}.var", ones)]
    graph.node("BatchNormalization", [*inputs, *names], out, epsilon=0.0)


def _mean(graph: OnnxGraph, node: fx.Node, _module: None, inputs: list[str], out: str) -> None:
    dims = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else None))
    keep = bool(node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False))
    source = node.all_input_nodes[0]
    rank = len(source.meta[SHAPE])
    axes: Any = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
    _reduce_mean(graph, inputs, out, sorted(int(a) % rank for a in axes), keep)


def _reduce_mean(graph: OnnxGraph, inputs: list[str], out: str, axes: list[int], keep: bool) -> str:
    if graph.opset >= REDUCE_AXES_INPUT_SINCE:
        return graph.node("ReduceMean", [*inputs, graph.integers(f"{out}.axes", axes)], out, keepdims=int(keep))
    return graph.node("ReduceMean", inputs, out, axes=axes, keepdims=int(keep))


def _permute(graph: OnnxGraph, node: fx.Node, _module: None, inputs: list[str], out: str) -> None:
    order = permutation(node)
    assert order is not None
    graph.node("Transpose", inputs, out, perm=list(order))


def _flatten(graph: OnnxGraph, node: fx.Node, module: nn.Flatten | None, inputs: list[str], out: str) -> None:
    given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | dict(node.kwargs)
    args: Any = (given.get("start_dim", 0), given.get("end_dim", -1))
    if module is not None:
        args = (module.start_dim, module.end_dim)
    rank = len(node.all_input_nodes[0].meta[SHAPE])
    if args[0] != 1 or args[1] % rank != rank - 1:
        raise PassRefusedError(f"{node.name}: only flatten from axis 1 to the last is emitted, got {args}")
    graph.node("Flatten", inputs, out, axis=1)


def _on_storage(emit: Emitter) -> Emitter:
    """An elementwise operation on whatever shape its input was made in: no Reshape only for it."""

    def wrapped(graph: OnnxGraph, node: fx.Node, module: nn.Module | None, inputs: list[str], out: str) -> None:
        shape = graph.shape_of_view(inputs[0])
        if shape is None:
            emit(graph, node, module, inputs, out)
            return
        result = graph.reserve(f"{out}.value")
        emit(graph, node, module, [graph.storage(inputs[0])], result)
        graph.reshape(result, shape, out)

    return wrapped


def _plain(op: str) -> Emitter:
    def emit(graph: OnnxGraph, node: fx.Node, _module: nn.Module | None, inputs: list[str], out: str) -> None:
        if len(inputs) != len(node.args) and node.op != "call_module":
            raise PassRefusedError(f"{node.name}: {op} with a Python number is not emitted; expected tensors")
        graph.node(op, inputs, out)

    return emit


def _constants(graph: OnnxGraph, layer: Frozen, out: str, node: fx.Node) -> list[str]:
    base = _base(node)
    names = [graph.constant(f"{base}.weight", layer.constants["weight"])]
    bias = layer.optional("bias")
    return [*names, graph.constant(f"{base}.bias", bias)] if bias else names


def _base(node: fx.Node) -> str:
    return readable(str(node.target))


_MODULES: dict[type[nn.Module], Emitter] = {
    FrozenConv2d: _conv,
    FrozenLinear: _linear,
    FrozenProgram: emit_program,
    FrozenLayerNorm: _layer_norm,
    nn.GELU: _on_storage(emit_gelu),
    **dict.fromkeys(elementwise.BATCH_NORMS, _batch_norm),
    nn.ReLU: _on_storage(_plain("Relu")),
    nn.Sigmoid: _on_storage(_plain("Sigmoid")),
    nn.Tanh: _on_storage(_plain("Tanh")),
    nn.Flatten: _flatten,
}
_FUNCTIONS: dict[Any, Emitter] = {
    F.gelu: _on_storage(emit_gelu),
    F.relu: _on_storage(_plain("Relu")),
    torch.relu: _on_storage(_plain("Relu")),
    operator.add: _plain("Add"),
    torch.add: _plain("Add"),
    operator.mul: _plain("Mul"),
    torch.mul: _plain("Mul"),
    "mean": _mean,
    torch.mean: _mean,
    "permute": _permute,
    torch.permute: _permute,
    "flatten": _flatten,
    torch.flatten: _flatten,
}
