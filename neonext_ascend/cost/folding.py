"""What a node makes of what is known of its inputs: shapes by ONNX's inference, numbers by its reference operators."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from neonext_ascend.artifacts import vendor_operators
from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT
from neonext_ascend.artifacts.tensors import is_external
from neonext_ascend.cost.rules import PRODUCTS

Shape = tuple[int, ...]
# Numbers of constants up to this size are kept: shapes, axes, paddings.
SMALL = 1024
DEFAULT_DOMAINS = ("", "ai.onnx")
# Arithmetic of shapes; whatever else is constant needs no numbers here.
# fmt: off
_FOLDED = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "CumSum", "Div", "Equal",
    "Expand", "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max",
    "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    "Reshape", "Round", "ScatterND", "Sign", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose",
    "Unsqueeze", "Where",
})
# fmt: on
# The ends of an int8 layer keep the shape; what the deploy form has between layers is fp16.
_ENDS = {QUANT: TensorProto.INT8, DEQUANT: TensorProto.FLOAT16}
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


class Folder:
    """What is known of values so far, and what a node makes of it."""

    def __init__(self, model: ModelProto) -> None:
        self.types: dict[str, TypeProto] = {}
        self.numbers: dict[str, NDArray[Any]] = {}
        self._opsets = {
            entry.domain if entry.domain != "ai.onnx" else "": entry.version for entry in model.opset_import
        }
        self._imports, self._ir = list(model.opset_import), model.ir_version or 8

    def outcome(self, proto: NodeProto) -> tuple[dict[str, TypeProto], dict[str, NDArray[Any]]]:
        """Types of the outputs, and the numbers of those that can be known."""
        if (
            proto.op_type == "Shape"
            and proto.input[0]
            and (shape := described(self.types[proto.input[0]])[0]) is not None
        ):
            start, end = (_attribute(proto, name, default) for name, default in (("start", 0), ("end", len(shape))))
            numbers = {proto.output[0]: np.array(shape[start:end], np.int64)}
        elif proto.op_type == "Size" and (shape := described(self.types[proto.input[0]])[0]) is not None:
            numbers = {proto.output[0]: np.array(prod(shape), np.int64)}
        elif all(name in self.numbers for name in proto.input if name) and not has_body(proto) and not is_random(proto):
            numbers = self._computed(proto)
        else:
            numbers = {}
        if numbers.keys() >= set(filter(None, proto.output)):
            return {name: _type_of(array) for name, array in numbers.items()}, numbers
        return self._inferred(proto), numbers

    def _computed(self, proto: NodeProto) -> dict[str, NDArray[Any]]:
        if proto.op_type == "Constant":
            found = [attribute.t for attribute in proto.attribute if attribute.name == "value"]
            if found and numbers_of(found[0]) is None:
                return {}
        if proto.op_type not in _FOLDED or proto.domain not in DEFAULT_DOMAINS:
            return {}
        if proto.op_type in ("ConstantOfShape", "Expand", "Range", "Tile") and not self._is_small(proto):
            return {}
        try:
            results = self._evaluator(proto).run(None, {name: self.numbers[name] for name in proto.input if name})
        except Exception:  # an operator that the reference does not know stays unknown here too
            return {}
        return {
            name: np.asarray(result)
            for name, result in zip(proto.output, results, strict=False)
            if name and not isinstance(result, list) and np.size(result) <= SMALL
        }

    def _evaluator(self, proto: NodeProto) -> ReferenceEvaluator:
        """In a graph of its own: of a lone node the newest version of the operator would run, whatever the opset."""
        given = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(proto.input) if name]
        made = [onnx.ValueInfoProto(name=name) for name in proto.output if name]
        graph = helper.make_graph([proto], "node", given, made)
        return ReferenceEvaluator(helper.make_model(graph, opset_imports=self._imports, ir_version=self._ir))

    def _is_small(self, proto: NodeProto) -> bool:
        if proto.op_type == "Range":
            start, limit, step = (float(self.numbers[name]) for name in proto.input)
            return bool(step) and (limit - start) / step <= SMALL
        sizes = self.numbers[proto.input[-1]]
        return bool(
            np.prod(np.abs(sizes), dtype=np.float64) * max(self.numbers[proto.input[0]].size, 1) <= SMALL * SMALL
        )

    def _inferred(self, proto: NodeProto) -> dict[str, TypeProto]:
        if (proto.domain, proto.op_type) == (vendor_operators.DOMAIN, vendor_operators.GELU):
            return {proto.output[0]: self.types[proto.input[0]]}
        if proto.domain in DEFAULT_DOMAINS and proto.op_type in _ENDS:
            return {proto.output[0]: _as(self.types[proto.input[0]], _ENDS[proto.op_type])}
        whole = [_dtype(self.types[name]) == TensorProto.INT8 for name in proto.input if name]
        if proto.op_type in PRODUCTS and whole and all(whole[:2]):  # in whole numbers, which ONNX does not have them in
            floating = {name: _as(self.types[name], TensorProto.FLOAT) for name in proto.input if name}
            return {name: _as(kind, TensorProto.INT32) for name, kind in self._by_schema(proto, floating).items()}
        return self._by_schema(proto, {name: self.types[name] for name in proto.input if name})

    def _by_schema(self, proto: NodeProto, types: dict[str, TypeProto]) -> dict[str, TypeProto]:
        domain = "" if proto.domain in DEFAULT_DOMAINS else proto.domain
        try:
            schema = onnx.defs.get_schema(proto.op_type, self._opsets.get(domain, 1), domain)
            found: dict[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
                schema,
                proto,
                types,
                {name: numpy_helper.from_array(self.numbers[name]) for name in types if name in self.numbers},
                opset_imports=self._imports,
                ir_version=self._ir,
            )
            return found
        except Exception:  # what cannot be inferred is unknown, and counted as such
            return {}


def described(kind: TypeProto | None) -> tuple[Shape | None, bool]:
    """Shape, where every axis is a number, and whether the elements are real numbers."""
    if kind is None or not kind.HasField("tensor_type"):
        return None, True
    tensor = kind.tensor_type
    floating = tensor.elem_type in _FLOATS
    if not tensor.HasField("shape") or not all(
        dim.HasField("dim_value") and dim.dim_value >= 0 for dim in tensor.shape.dim
    ):
        return None, floating
    return tuple(dim.dim_value for dim in tensor.shape.dim), floating


def _dtype(kind: TypeProto) -> int:
    return int(kind.tensor_type.elem_type)


def _as(kind: TypeProto, dtype: int) -> TypeProto:
    """The same shape in another dtype."""
    made = TypeProto()
    made.CopyFrom(kind)
    made.tensor_type.elem_type = dtype
    return made


def _type_of(array: NDArray[Any]) -> TypeProto:
    kind: TypeProto = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
    return kind


def numbers_of(tensor: TensorProto) -> NDArray[Any] | None:
    """Of a small tensor whose numbers are in the file."""
    if prod(tensor.dims) > SMALL or is_external(tensor) or tensor.external_data:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except Exception:  # a damaged constant is inspect's own finding
        return None


def _attribute(proto: NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in proto.attribute if attribute.name == name), default)


def has_body(proto: NodeProto) -> bool:
    """Whether graphs lie in it, as in an If."""
    return any(attribute.HasField("g") or attribute.graphs for attribute in proto.attribute)


def is_random(proto: NodeProto) -> bool:
    """Whether it gives other numbers each time."""
    return proto.op_type.startswith("Random") or proto.op_type in ("Bernoulli", "Multinomial")
