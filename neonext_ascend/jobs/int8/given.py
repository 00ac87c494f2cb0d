"""A stranger's ONNX file, and whether int8 can be made of it: told before anything is measured, with what to do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.artifacts.functions import without_functions
from neonext_ascend.artifacts.int8_twins import is_quantised
from neonext_ascend.artifacts.tensors import dtype_name, load_model
from neonext_ascend.artifacts.vendor_operators import infer_shapes
from neonext_ascend.errors import ArtifactError, UsageError, counted
from neonext_ascend.exporters.int8.qdq import check_qdq_opset
from neonext_ascend.runtimes.onnx_file import check_onnx_file, free_words

_FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_BODIES = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def taken(path: Path) -> tuple[ModelProto, list[int | str]]:
    """The model, without functions of its own, and the shape of its one input; of a free batch its name.

    Raises:
        ArtifactError: int8 cannot be made of it.
        FileAccessError: it, or its external data, cannot be read.
    """
    check_onnx_file(path)
    model = load_model(with_its_data(path))
    try:
        model = without_functions(model)
        opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        check_qdq_opset(opset)
    except UsageError as error:
        raise ArtifactError(f"{path}: {error}; export it again, or use onnx.version_converter") from None
    if fault := _of_nodes(model) or _of_input(model):
        raise ArtifactError(f"{path}: {fault}")
    (value,) = _fed(model)
    axes = value.type.tensor_type.shape.dim
    shape = [axis.dim_value if axis.dim_value > 0 else axis.dim_param or "?" for axis in axes]
    if not all(isinstance(size, int) for size in shape[1:]):
        raise ArtifactError(f"{path}: {free_words(value.name, shape)}")
    if fault := _of_outputs(model, value.name):
        raise ArtifactError(f"{path}: {fault}")
    return model, shape


def _fed(model: ModelProto) -> list[ValueInfoProto]:
    held = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in held]


def _of_nodes(model: ModelProto) -> str:
    sparse = [tensor.values.name for tensor in model.graph.sparse_initializer]
    for node in model.graph.node:
        if is_quantised(node.op_type):
            return f"holds {node.op_type} already; give the float32 file that it was made of"
        if any(one.type in _BODIES for one in node.attribute):
            name = node.name or node.output[0]
            return f"{name} ({node.op_type}) has a body of its own; int8 takes plain graphs alone: export it without"
        if any(one.name == "sparse_value" for one in node.attribute):
            sparse.append(node.output[0])
    return f"its constant {sparse[0]} is sparse; int8 takes dense ones: export it again without" if sparse else ""


def _of_input(model: ModelProto) -> str:
    fed = _fed(model)
    if len(fed) != 1:
        names = f" ({', '.join(value.name for value in fed)})" if fed else ""
        return f"has {counted(len(fed), 'input')}{names}; int8 takes a graph of one: export it again with one"
    name, kind = fed[0].name, fed[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        return f"its input {name} is {dtype_name(kind.elem_type)}; int8 is made of float32: export it again in that"
    if not kind.shape.dim:
        return f"its input {name} has no shape; int8 needs the size of every axis behind the batch: export it again"
    return ""


def _of_outputs(model: ModelProto, name: str) -> str:
    """An output that is no floating-point number, and how to cut off what makes it."""
    kinds = _kinds(model)
    makers = {made: node for node in model.graph.node for made in node.output}
    outputs = [value.name for value in model.graph.output]
    whole = [one for one in outputs if kinds.get(one, TensorProto.FLOAT) not in _FLOATING]
    if not whole:
        return ""
    takes = " or ".join(map(dtype_name, _FLOATING))
    told = f"its output {whole[0]} is {dtype_name(kinds[whole[0]])}; int8 is held against {takes}"
    last = {id(makers[one]): makers[one] for one in whole if one in makers}
    kept = [_before(makers[one], makers, kinds) if id(makers.get(one)) in last else one for one in outputs]
    if not last or not all(kept) or not {*kept}.isdisjoint(whole):
        return f"{told}: take it out"
    ends = " and ".join(dict.fromkeys(node.op_type for node in last.values()))
    # In the double quotes of JSON, which are Python's too, names stand as they are within the shell's single ones.
    cut = f'onnx.utils.extract_model("IN.onnx", "OUT.onnx", {_quoted([name])}, {_quoted(kept)})'
    return f"{told}: cut {ends} off: python -c {shlex.quote(f'import onnx; {cut}')}"


def _quoted(names: Iterable[str]) -> str:
    return json.dumps(list(dict.fromkeys(names)), ensure_ascii=False)


def _before(node: NodeProto, makers: Mapping[str, NodeProto], kinds: Mapping[str, int]) -> str:
    """The nearest floating-point value that a node goes by; empty where none is computed."""
    waiting, seen = [node], set[str]()
    for one in waiting:  # which grows
        for read in one.input:
            maker = makers.get(read)
            if maker is None or maker.op_type == "Constant" or read in seen:
                continue
            if kinds.get(read) in _FLOATING:
                return str(read)
            seen.add(read)
            waiting.append(maker)
    return ""


def _kinds(model: ModelProto) -> dict[str, int]:
    """The dtype of each value, where it is known."""
    try:
        graph = infer_shapes(model).graph
    except Exception:  # what onnx cannot infer is not known; onnxruntime is the judge
        graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: kind for value in values if (kind := value.type.tensor_type.elem_type)}
