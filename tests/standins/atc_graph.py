"""What the stand-in ``atc`` compiles: the ONNX graph with a chip's rounding to fp16 written into it as Casts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.standins.atc_contract import Parsed, RefusedError
from tests.standins.atc_int8 import lower_int8

_OPERATORS = """
    MatMul Gemm Conv Add Sub Mul Div Pow Sqrt Erf Tanh Sigmoid ReduceMean Transpose Reshape Concat Slice Pad Split
    SpaceToDepth DepthToSpace Einsum GlobalAveragePool BatchNormalization Expand Softmax Gather Cast Unsqueeze
    Squeeze Flatten Clip Relu AscendQuant AscendDequant
"""
_CUBE = {"MatMul", "Gemm", "Conv"}
_QUANTISED = {"AscendQuant", "AscendDequant"}
# What each precision rounds: (operators, their inputs, their outputs); ``None`` for all operators.
_ROUNDS: dict[str, tuple[set[str] | None, bool, bool]] = {
    "fp16": (None, True, True),
    "force_fp16": (None, True, True),
    "origin": (set(), False, False),
    "must_keep_origin_dtype": (set(), False, False),
    "mixed_float16": (_CUBE, True, True),
    "allow_mix_precision": (_CUBE, True, True),
    "cube_fp16in_fp32out": (_CUBE, True, False),
}
_AIPP_FIXED = {
    "aipp_mode": {"static"},
    "input_format": {"RGB888_U8"},
    "related_input_rank": {"0"},
    "crop": {"false"},
    "csc_switch": {"false"},
    "rbuv_swap_switch": {"false", "true"},
}


def compile_model(parsed: Parsed) -> bytes:
    """The device graph, serialized.

    Raises:
        RefusedError: as ATC would.
    """
    model = onnx.load(parsed.flags["model"])
    _check_operators(model, parsed)
    _set_shapes(model, parsed)
    model = onnx.shape_inference.infer_shapes(model)
    keep = _names(parsed.flags.get("keep_dtype"), model)
    precision = parsed.flags.get("precision_mode_v2") or parsed.flags.get("precision_mode") or "fp16"
    _round(model, precision, keep)
    lower_int8(model)  # behind the rounding, which is of what fp16 holds
    model = onnx.shape_inference.infer_shapes(model)
    if "insert_op_conf" in parsed.flags:
        _insert_aipp(model, read_aipp(Path(parsed.flags["insert_op_conf"]).read_text()))
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _check_operators(model: ModelProto, parsed: Parsed) -> None:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    kinds = {node.op_type for node in model.graph.node}
    if kinds & _QUANTISED and parsed.gears:
        raise RefusedError(None, "a quantised model does not support dynamic shapes.")
    known = set(_OPERATORS.split()) | ({"LayerNormalization"} if opset in (17, 18) else set())
    for node in model.graph.node:
        if not 8 <= opset <= 18 or node.domain not in ("", "ai.onnx") or node.op_type not in known:
            text = f"No parser is registered for Op [{node.name}, optype [ai.onnx::{opset}::{node.op_type}]]."
            raise RefusedError("E16002", text)


def _set_shapes(model: ModelProto, parsed: Parsed) -> None:
    inputs = {value.name: value for value in model.graph.input}
    for name, sizes in parsed.shapes.items():
        if name not in inputs:
            raise RefusedError("E10016", f"Opname [{name}] specified in [--input_shape] is not found in the model.")
        dims = inputs[name].type.tensor_type.shape.dim
        if len(dims) != len(sizes):
            raise RefusedError("E10049", f"Dimension count [{len(sizes)}] does not match [{len(dims)}] of the node.")
        for dim, size in zip(dims, sizes, strict=True):
            if dim.HasField("dim_value") and dim.dim_value != size:
                raise RefusedError(
                    "E10001", f"Value [{sizes}] for [--input_shape] is invalid. Reason: the model has {dim.dim_value}."
                )
            if size > 0:
                dim.dim_value = size
    if not parsed.gears:
        # The outputs follow the inputs' static shapes.
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")


def _names(path: str | None, model: ModelProto) -> set[str]:
    names = set() if path is None else {line.strip() for line in Path(path).read_text().splitlines() if line.strip()}
    for name in names - {node.name for node in model.graph.node}:
        raise RefusedError("E10016", f"Opname [{name}] specified in [--keep_dtype] is not found in the model.")
    return names


class _Rounding:
    """A graph in the making: values, and their copies that went through fp16."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.nodes: list[NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        values = [*graph.input, *graph.output, *graph.value_info]
        self.floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.floats |= {name for name, one in self.constants.items() if one.data_type == TensorProto.FLOAT}
        self.rounded: dict[str, str] = {}

    def through_fp16(self, source: str, target: str) -> None:
        half = f"{target}/fp16"
        self.nodes.append(helper.make_node("Cast", [source], [half], f"{half}/cast", to=TensorProto.FLOAT16))
        self.nodes.append(helper.make_node("Cast", [half], [target], f"{target}/back", to=TensorProto.FLOAT))

    def of(self, name: str) -> str:
        """The rounded copy of a float value, the value itself if it is no float."""
        if name not in self.floats:
            return name
        if name not in self.rounded:
            self.rounded[name] = f"{name}/rounded"
            if name in self.constants:
                with np.errstate(over="ignore"):
                    array = numpy_helper.to_array(self.constants[name]).astype(np.float16).astype(np.float32)
                self.constants[self.rounded[name]] = numpy_helper.from_array(array, self.rounded[name])
            else:
                self.through_fp16(name, self.rounded[name])
        return self.rounded[name]


def _round(model: ModelProto, precision: str, keep: Iterable[str]) -> None:
    if precision not in _ROUNDS:
        raise RefusedError("E10055", f"The operation is not supported. Reason: the stand-in has no {precision}.")
    kinds, inputs, outputs = _ROUNDS[precision]
    made, kept = _Rounding(model), set(keep)
    for node in model.graph.node:
        if node.name in kept or (kinds is not None and node.op_type not in kinds):
            made.nodes.append(node)
            continue
        if inputs:
            node.input[:] = [made.of(name) for name in node.input]
        wanted = [name for name in node.output if outputs and name in made.floats]
        node.output[:] = [f"{name}/exact" if name in wanted else name for name in node.output]
        made.nodes.append(node)
        for name in wanted:
            made.through_fp16(f"{name}/exact", name)
            made.rounded[name] = name
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(made.nodes)
    used = {name for node in made.nodes for name in node.input}
    model.graph.initializer.extend(tensor for name, tensor in made.constants.items() if name in used)


def read_aipp(text: str) -> dict[str, list[float]]:
    """``mean``, ``min``, ``var`` of the channels, their ``order``, and ``size``; in fp16 what the template has so.

    Raises:
        RefusedError: E10052 for what is missing, unknown, doubled or of a wrong kind.
    """
    match = re.fullmatch(r"\s*aipp_op\s*\{(.*)\}\s*", text, re.DOTALL)
    fields: dict[str, str] = {}
    for line in filter(None, map(str.strip, match[1].splitlines() if match else ["no aipp_op"])):
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key in fields:
            raise RefusedError("E10052", f"AIPP configuration is invalid. Reason: {line}.")
        fields[key] = value
    swap = fields.get("rbuv_swap_switch") == "true"
    for key, allowed in _AIPP_FIXED.items():
        if fields.pop(key, None) not in allowed:
            raise RefusedError("E10052", f"AIPP configuration is invalid. Reason: {key} is none of {allowed}.")
    try:
        found = {
            "mean": [float(int(fields.pop(f"mean_chn_{i}"))) for i in range(3)],
            "min": [float(np.float16(fields.pop(f"min_chn_{i}"))) for i in range(3)],
            "var": [float(np.float16(fields.pop(f"var_reci_chn_{i}"))) for i in range(3)],
            "order": [2.0, 1.0, 0.0] if swap else [0.0, 1.0, 2.0],
            "size": [float(int(fields.pop(f"src_image_size_{side}"))) for side in "hw"],
        }
    except (KeyError, ValueError) as error:
        raise RefusedError("E10052", f"AIPP configuration is invalid. Reason: {error}.") from None
    in_range = all(0 <= x <= 255 for x in (*found["mean"], *found["min"])) and all(map(np.isfinite, found["var"]))
    if fields or not in_range:
        raise RefusedError("E10052", f"AIPP configuration is invalid. Reason: {fields or 'a value out of range'}.")
    return found


def _insert_aipp(model: ModelProto, aipp: dict[str, list[float]]) -> None:
    """Put ``(pixel - mean - min) * var`` before the first input, which becomes uint8 ``(N, H, W, C)``.

    Channels are swapped first, and mean and factor are those of the swapped ones (CANN 8.0, ATC guide, AIPP:
    "Configuration File Template").
    """
    graph = model.graph
    value = graph.input[0]
    name, tensor = value.name, value.type.tensor_type
    batch, channels, height, width = (dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    if [height, width] != aipp["size"] or channels != 3:
        raise RefusedError("E10052", f"AIPP configuration is invalid. Reason: the model takes {height}x{width}.")
    for node in graph.node:
        node.input[:] = [f"{name}/aipp" if one == name else one for one in node.input]
    for key in ("mean", "min", "var"):
        array = np.array(aipp[key], np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(array, f"aipp/{key}"))
    order = np.array(aipp["order"], np.int64)
    graph.initializer.append(numpy_helper.from_array(order, "aipp/order"))
    steps = [
        helper.make_node("Gather", [name, "aipp/order"], ["aipp/pixels"], axis=3),
        helper.make_node("Cast", ["aipp/pixels"], ["aipp/float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["aipp/float"], ["aipp/nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["aipp/nchw", "aipp/mean"], ["aipp/centred"]),
        helper.make_node("Sub", ["aipp/centred", "aipp/min"], ["aipp/exact"]),
        helper.make_node("Mul", ["aipp/exact", "aipp/var"], ["aipp/scaled"]),
        helper.make_node("Cast", ["aipp/scaled"], ["aipp/half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["aipp/half"], [f"{name}/aipp"], to=tensor.elem_type),
    ]
    nodes = [*steps, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, height, width, channels]))
