"""The end of an ONNX graph, from its last layers to an output, as a small model of its own; no weights are read.

Local functions are put in place of their calls and branches in place of an ``If``, so that what stands in them is seen.
A quantiser's nodes are taken for the float operators that they stand for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper, shape_inference

from neonext_ascend.artifacts.functions import without_functions
from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.errors import NeoNextError

_STANDARD, _ONNXRUNTIME = ("", "ai.onnx"), "com.microsoft"
# Products with weights, and the scales of one in 8 bits: what the end is a function of.
_LAYERS = frozenset({
    "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "Einsum",
    "FusedMatMul", "Gemm", "MatMul", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "QGemm", "QLinearConv",
    "QLinearMatMul",
})  # fmt: skip
# Their bodies or gates may end in a curve: what they give may be anything.
_OPAQUE = frozenset({"GRU", "LSTM", "Loop", "RNN", "Scan"})
_QUANTISERS = frozenset({"DequantizeLinear", "QuantizeLinear"})
_QUANTISED_CURVES = {"QLinearSigmoid": "Sigmoid", "QLinearSoftmax": "Softmax"}
# Move or round values and do not change what they mean.
_CARRYING = _QUANTISERS | {
    "Cast", "Clip", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"
}  # fmt: skip
_MOST_FILLED = 2**20  # elements of a weight that was not read
_ANSWER = "the answer of the end"

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class End:
    """What computes an output.

    Attributes:
        model: a serialised ONNX model from the last layers' outputs to the answer.
        inputs: shape and numpy dtype of each; a length that is not known, or a whole shape, is ``None``.
        last: the last operator that does more than carry values on, with its domain unless that is ONNX's own; empty
            where there is none.
        followed: whether it begins at layers alone, whose values can be any; else something unknown stands before it.
    """

    model: bytes
    inputs: Mapping[str, tuple[Shape | None, str]]
    last: str
    followed: bool


def read_ends(artifact: Path, output: str) -> tuple[End, ...]:
    """One end; or two where an ``If`` goes by what is not known before: with its first and with its second branch.

    Empty where onnx does not decode the file.
    """
    try:
        model = skim_model(artifact)
    except NeoNextError:  # what runs it has opened it, and is the judge
        return ()
    with contextlib.suppress(NeoNextError):  # a call that cannot be replaced stays, and is seen as unknown
        model = without_functions(model)
    del model.functions[:]
    first, second = ModelProto.FromString(model.SerializeToString()), model
    if not _take_branches(first.graph, "then_branch"):
        return (_cut(first, output),)
    _take_branches(second.graph, "else_branch")
    return _cut(first, output), _cut(second, output)


def _take_branches(graph: GraphProto, branch: str) -> bool:
    """Put this branch in place of each ``If``, but where its condition is a constant; whether there was another."""
    known = _constants(graph)
    nodes: list[NodeProto] = []
    waiting, open_ = list(reversed(graph.node)), False
    while waiting:
        node = waiting.pop()
        if node.op_type != "If" or node.domain not in _STANDARD:
            nodes.append(node)
            continue
        condition, taken = known.get(node.input[0]), branch
        if condition is not None and _has_numbers(condition):
            taken = "then_branch" if numpy_helper.to_array(condition).any() else "else_branch"
        else:
            open_ = True
        # Names of one branch may stand in another one; those of the graph around it are kept.
        body = compose.add_prefix_graph(
            next(attribute.g for attribute in node.attribute if attribute.name == taken), f"{node.output[0]}/"
        )
        graph.initializer.extend(body.initializer)
        known |= _constants(body)
        results = [
            helper.make_node("Identity", [inner.name], [name])
            for inner, name in zip(body.output, node.output, strict=True)
        ]
        waiting += reversed([*body.node, *results])
    del graph.node[:]
    graph.node.extend(nodes)
    return open_


def _cut(model: ModelProto, output: str) -> End:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    needed, followed = {output}, True
    for node in reversed(model.graph.node):
        if needed.isdisjoint(node.output):
            continue
        as_float = _as_float(node)
        if as_float is None or not _fill(as_float, constants):
            followed &= node.op_type in _LAYERS and node.domain in (*_STANDARD, _ONNXRUNTIME)
        else:
            nodes.insert(0, as_float)
            needed |= {*as_float.input} - {""}
    free = needed - set(constants) - {name for node in nodes for name in node.output}
    values = _inferred(model)
    inputs = {name: values.get(name, (None, "float32")) for name in sorted(free)}
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", [output], [_ANSWER])],
        "end",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)
            for name, (_, dtype) in inputs.items()
        ],
        [onnx.ValueInfoProto(name=_ANSWER)],
        [constants[name] for name in sorted(needed & set(constants))],
    )
    small = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return End(small.SerializeToString(), inputs, _last(model.graph, output), followed)


def _as_float(node: NodeProto) -> NodeProto | None:
    """The node as it is evaluated; ``None`` where the end begins behind it."""
    if node.op_type in _QUANTISERS:
        return helper.make_node("Identity", node.input[:1], node.output)
    if node.domain == _ONNXRUNTIME and node.op_type in _QUANTISED_CURVES:
        made = helper.make_node(_QUANTISED_CURVES[node.op_type], node.input[:1], node.output)
        made.attribute.extend(attribute for attribute in node.attribute if attribute.name == "axis")
        return made
    return node if node.domain in _STANDARD and node.op_type not in _LAYERS | _OPAQUE else None


def _fill(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    """Ones where a weight was not read: what scales and shifts do to order and bounds hangs little on their size."""
    for name in node.input:
        tensor = constants.get(name)
        if tensor is None or _has_numbers(tensor):
            continue
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if dtype.kind != "f" or np.prod(tensor.dims, dtype=np.int64) > _MOST_FILLED:
            return False
        constants[name] = numpy_helper.from_array(np.ones(tuple(tensor.dims), dtype), name)
    return all(map(_has_numbers, _written([node]).values()))


def _has_numbers(tensor: TensorProto) -> bool:
    kinds = (tensor.raw_data, tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data)
    return 0 in tensor.dims or any(map(len, (*kinds, tensor.uint64_data)))


def _constants(graph: GraphProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in graph.initializer} | _written(graph.node)


def _written(nodes: Iterable[NodeProto]) -> dict[str, TensorProto]:
    """The tensors of ``Constant`` nodes."""
    constant = [node for node in nodes if node.op_type == "Constant"]
    return {node.output[0]: a.t for node in constant for a in node.attribute if a.name == "value"}


def _last(graph: GraphProto, output: str) -> str:
    name = output
    for node in reversed(graph.node):
        if name not in node.output:
            continue
        if node.op_type in _CARRYING and node.input:
            name = node.input[0]
            continue
        operator = str(node.op_type)
        # onnxruntime's quantiser writes QLinearSoftmax.
        return operator if node.domain in _STANDARD else _QUANTISED_CURVES.get(operator, f"{node.domain}.{operator}")
    return ""


def _inferred(model: ModelProto) -> dict[str, tuple[Shape | None, str]]:
    """Shapes and dtypes of the values where they are known; a quantiser's integers stand for floats."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except Exception:  # what onnx cannot infer is not known
        graph = model.graph
    values: dict[str, tuple[Shape | None, str]] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if tensor.elem_type else ""
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        known = shape if tensor.HasField("shape") else None
        values[value.name] = (known, dtype if dtype in ("float16", "float64") else "float32")
    return values
