"""The vendor's deploy form: AscendQuant, a product with an INT8 weight and an INT32 bias, AscendDequant.

Source: hicann/amct 2be20da (``amct_pytorch/classic/graph_based``). Everything else is fp16, and fp16 is what
AscendDequant gives (``dtype`` 1), so that the file's types agree and the compiler keeps what stands in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_node

from neonext_ascend.exporters.int8.decision import Decision, Int8Layer
from neonext_ascend.exporters.int8.surgery import Editing, rewritten

_TO_FP16 = 1  # AscendDequant's dtype


def deploy_model(model: ModelProto, decision: Decision) -> ModelProto:
    """A copy of a float32 or fp16 model in the deploy form.

    Raises:
        ArtifactError: the model is another one than the decision's.
    """
    return narrowed(rewritten(model, decision, _write))


def packed(scale: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Scales as AscendDequant reads them: the bits of the float32 in the low half of a UINT64."""
    return np.ascontiguousarray(scale, np.float32).view(np.uint32).astype(np.uint64)


def _write(layer: Int8Layer, node: NodeProto, adder: NodeProto, edited: Editing) -> None:
    name, places = layer.name, list(node.input)
    quantised, result = edited.reserve(f"{name}.quant"), adder.output[0]
    quantiser: dict[str, Any] = {"scale": float(layer.quantiser), "offset": 0.0, "dst_type": "INT8"}
    edited.before(node, make_node("AscendQuant", [layer.value], [quantised], quantised, **quantiser))
    node.input[places.index(layer.value)] = quantised
    edited.hold(layer.weight_name, layer.weight)
    if layer.bias is not None:
        edited.bias(adder, edited.hold(layer.bias_name, layer.bias))
    parameter = edited.hold(f"{name}.dequant.param", packed(layer.scale))
    sums, dequant = edited.reserve(f"{name}.int32"), edited.reserve(f"{name}.dequant")
    edited.behind(adder, make_node("AscendDequant", [sums, parameter], [result], dequant, dtype=_TO_FP16), sums)


def narrowed(model: ModelProto) -> ModelProto:
    """The model itself, whose float32 values and constants have become fp16."""
    graph = model.graph
    del graph.value_info[:]
    # Resize takes its scales in float32 alone.
    single = {name for node in graph.node if node.op_type == "Resize" for name in node.input[2:3]}
    for tensor in graph.initializer:
        if tensor.name not in single:
            _narrow(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _narrow(attribute.t)
            elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT and not _is_vendors(node):
                attribute.i = TensorProto.FLOAT16
    return model


def _is_vendors(node: NodeProto) -> bool:
    return node.op_type == "AscendDequant"  # whose dtype is no dtype of ONNX


def _narrow(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        with np.errstate(over="ignore"):  # what is beyond fp16 is judged node by node
            value = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
