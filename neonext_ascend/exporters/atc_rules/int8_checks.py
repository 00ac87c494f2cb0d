"""What the rules on int8 look at: products of int8, and the vendor's deploy form around them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto, numpy_helper

from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT, scales_of
from neonext_ascend.artifacts.tensors import dtype_name, is_external
from neonext_ascend.exporters.atc_rules.checks import Hit, Hits, Subject
from neonext_ascend.exporters.atc_rules.reading import Node, Value

# Products of int8, each with the places of its two operands.
_INT8_PRODUCTS = {
    "BatchMatMul": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "QuantBatchMatMul": (0, 1),
}
_ALWAYS_INT8 = frozenset({"MatMulInteger", "QLinearMatMul", "QuantBatchMatMul"})
_INT8_SOURCES = frozenset(
    {"AscendQuant", "DequantizeLinear", "DynamicQuantizeLinear", "Int8Quantize", "QuantizeLinear"}
)
# Through these a constant stays a constant.
_CARRIERS = frozenset({"AscendQuant", "Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Transpose"})
_INT8 = (TensorProto.INT8, TensorProto.UINT8)
# Products that the deploy form has, each with the axis of the output's channels where each has a scale of its own.
_DEPLOYED = {"Conv": 0, "ConvTranspose": 1, "Gemm": None, "MatMul": None}
_TAKES_SUMS = frozenset({DEQUANT, "AscendDequantS16", "AscendRequant", "AscendRequantS16"})
# Chips for which the vendor's tool names its operators.
_NAMED = ("910B", "910_93")


def _variable(node: Node, index: int) -> bool:
    """Whether an operand depends on the input."""
    seen: set[str] = set()
    while index < len(node.inputs) and not node.value(index).constant:
        source = node.source(index)
        # A name met twice is a cycle: no order of computation, so nothing constant either.
        if source is None or source.op not in _CARRIERS or node.inputs[index] in seen:
            return True
        seen.add(node.inputs[index])
        node, index = source, 0
    return False


def _is_int8(node: Node, index: int) -> bool:
    source = node.source(index)
    return node.value(index).dtype in _INT8 or (source is not None and source.op in _INT8_SOURCES)


def _int8_products(subject: Subject) -> Iterator[tuple[Node, int, int]]:
    for node in subject.model.nodes():
        left, right = _INT8_PRODUCTS.get(node.op, (0, 0))
        if node.standard and right and (node.op in _ALWAYS_INT8 or (_is_int8(node, left) and _is_int8(node, right))):
            yield node, left, right


def variables(subject: Subject) -> Hits:
    """Products of int8 where both operands depend on the input, on a chip that loses accuracy there."""
    if subject.soc.family == "310P":
        for node, left, right in _int8_products(subject):
            if _variable(node, left) and _variable(node, right):
                yield Hit(node.label, {"op": node.op, "soc": subject.soc.name})


def right_operand(subject: Subject) -> Hits:
    """Products of int8 with one constant that is not a 2-D right operand."""
    for node, left, right in _int8_products(subject):
        if _variable(node, left) and _variable(node, right):
            continue
        rank = node.value(right).rank
        if _variable(node, right) or (rank is not None and rank != 2):
            yield Hit(node.label, {"op": node.op})


def _all(subject: Subject, op: str) -> Iterator[Node]:
    return (node for node in subject.model.nodes() if node.standard and node.op == op)


def chip(subject: Subject) -> Hits:
    """The vendor's int8 operators on a chip for which no source names them."""
    if subject.soc.family not in _NAMED and any(True for op in (QUANT, DEQUANT) for _ in _all(subject, op)):
        yield Hit(None, {"soc": subject.soc.name})


def dequant_fp32(subject: Subject) -> Hits:
    """AscendDequant to float32 on 910B, which gives fp16."""
    if subject.soc.family == "910B":
        for node in _all(subject, DEQUANT):
            if "dtype" not in node.attributes or node.attributes["dtype"].i == 0:
                yield Hit(node.label, {"soc": subject.soc.name})


def scales(subject: Subject) -> Hits:
    """Scales that are missing, 0, negative or no number."""
    for node in _all(subject, QUANT):
        scale = node.attributes["scale"].f if "scale" in node.attributes else 0.0
        if not 0 < scale < np.inf:
            what = f"the scale {scale:g}" if "scale" in node.attributes else "no scale, which is taken for 0"
            yield Hit(node.label, {"op": node.op, "what": what})
    held = {tensor.name: tensor for tensor in subject.model.proto.graph.initializer}
    for node in _all(subject, DEQUANT):
        tensor = held.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if tensor is None or tensor.data_type != TensorProto.UINT64 or is_external(tensor):
            continue
        found = scales_of(numpy_helper.to_array(tensor)) if tensor.raw_data or tensor.uint64_data else np.ones(1)
        bad = found[~((found > 0) & (found < np.inf))]
        if bad.size:
            yield Hit(node.label, {"op": node.op, "what": f"the scale {bad[0]:g} in its parameter"})


def deploy_form(subject: Subject) -> Hits:
    """AscendQuant, the products that read it, and AscendDequant: dtypes, places and numbers of scales."""
    for node in _all(subject, QUANT):
        wanted = node.attributes["dst_type"].s if "dst_type" in node.attributes else b"INT8"
        if wanted != b"INT8":
            yield _formed(node, f"has the dst_type {wanted.decode(errors='replace')}; expected INT8")
    for op in _DEPLOYED:
        for node in _all(subject, op):
            source = node.source(0)
            if source is not None and source.standard and source.op == QUANT:
                yield from (_formed(node, what) for what in _wrong_in_product(node))
    for node in _all(subject, DEQUANT):
        yield from (_formed(node, what) for what in _wrong_in_dequant(node))


def _formed(node: Node, what: str) -> Hit:
    return Hit(node.label, {"op": node.op, "what": what})


def _wrong_in_product(node: Node) -> Iterator[str]:
    weight, bias = node.value(1), node.value(2)
    if weight.dtype and weight.dtype not in _INT8 and not _is_int8(node, 1):
        yield f"multiplies int8 with {dtype_name(weight.dtype)}; expected an INT8 constant"
    if bias.dtype not in (0, TensorProto.INT32):
        yield f"adds {dtype_name(bias.dtype)} to products of int8; expected INT32"
    for user in (user for name in node.outputs for user in node.graph.consumers.get(name, ())):
        others = [user.value(index) for index, name in enumerate(user.inputs) if name not in node.outputs]
        if user.op == "Add" and user.standard and _no_integers(others):
            yield f"sums in int32 meet {dtype_name(others[0].dtype)} in {user.label}; expected INT32"
        elif user.op not in {*_TAKES_SUMS, "Add"}:
            yield f"sums in int32 go to {user.label}, {user.op}; expected {DEQUANT}"


def _no_integers(values: list[Value]) -> bool:
    return bool(values) and values[0].dtype not in (0, TensorProto.INT32)


def _wrong_in_dequant(node: Node) -> Iterator[str]:
    parameter, product = node.value(1), node.source(0)
    if product is not None and product.op == "Add" and product.standard:
        sources = [product.source(index) for index in range(len(product.inputs))]
        product = next((one for one in sources if one is not None), None)
    if product is None or product.op not in {*_DEPLOYED, "AveragePool"}:
        yield "reads what no product of int8 gives; expected its sums"
        return
    if parameter.dtype not in (0, TensorProto.UINT64) or parameter.rank not in (None, 1):
        yield f"reads scales in {dtype_name(parameter.dtype)}, {parameter.rank} axes; expected UINT64 in one"
    elif parameter.shape is not None:
        axis, weight = _DEPLOYED.get(product.op), product.value(1).shape
        known = None if axis is None or weight is None or len(weight) <= axis else weight[axis]
        allowed = {1} if axis is None else {1, known}
        if parameter.shape[0] not in allowed and (axis is None or isinstance(known, int)):
            expected = f"1 or {known}" if isinstance(known, int) else "1"
            yield f"has {parameter.shape[0]} scales behind a {product.op}; expected {expected}"
