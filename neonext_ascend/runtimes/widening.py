"""Half precision in a graph turned into float32, in which ONNX Runtime's CPU kernels compute it anyway."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from neonext_ascend.runtimes.ordering import bodies

Array = NDArray[np.generic]
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_DTYPE_ATTRIBUTES = ("to", "dtype")
_NAMES = ("float16", "bfloat16")


def wide(node: NodeProto) -> NodeProto:
    """A copy in which half precision, of either kind, is float32."""
    copy = NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if attribute.name in _DTYPE_ATTRIBUTES and attribute.i in HALVES:
            attribute.i = TensorProto.FLOAT
        if attribute.type == onnx.AttributeProto.TENSOR:
            _widen(attribute.t)
    for body in bodies(copy):
        for tensor in body.initializer:
            _widen(tensor)
        for value in (*body.input, *body.output, *body.value_info):
            if value.type.tensor_type.elem_type in HALVES:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for inner in body.node:
            inner.CopyFrom(wide(inner))
    return copy


def widened(array: Array) -> Array:
    """The numbers in float32 where they are of half precision."""
    return array.astype(np.float32) if array.dtype.name in _NAMES else array


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in HALVES:
        tensor.CopyFrom(numpy_helper.from_array(widened(numpy_helper.to_array(tensor)), tensor.name))
