"""QDQ: QuantizeLinear and DequantizeLinear of ai.onnx around each product, to run and to evaluate in ONNX Runtime.

ATC's parser has neither operator. DequantizeLinear takes a scale for each channel from opset 13 on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_node

from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.int8.decision import Decision, Int8Layer
from neonext_ascend.exporters.int8.surgery import Editing, rewritten

FIRST_OPSET, LAST_OPSET = 13, 18
_JITTER = 1e-6


def qdq_model(model: ModelProto, decision: Decision) -> ModelProto:
    """A copy of a float32 model whose chosen products have int8 operands, and compute them in float32.

    Raises:
        UsageError: an opset outside 13 to 18.
        ArtifactError: the model is another one than the decision's.
    """
    check_qdq_opset(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))
    return rewritten(model, decision, _write)


def check_qdq_opset(opset: int) -> None:
    """Refuse what has no scale for each channel, and what is newer than the files that were tried.

    Raises:
        UsageError: an opset outside 13 to 18.
    """
    if not FIRST_OPSET <= opset <= LAST_OPSET:
        raise UsageError(
            f"opset {opset}: int8 needs {FIRST_OPSET} to {LAST_OPSET}, where DequantizeLinear takes a scale for each "
            "channel; take 17"
        )


def jittered(model: ModelProto) -> ModelProto:
    """A copy that says the same and rounds otherwise: float32 constants are moved by about the error of a long sum."""
    copy, random = ModelProto(), np.random.RandomState(0)
    copy.CopyFrom(model)
    # A negative number to the power of 3.000001 is NaN.
    exact = {node.input[1] for node in model.graph.node if node.op_type == "Pow"}
    for tensor in copy.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in exact:
            value = numpy_helper.to_array(tensor)
            moved = (value * (1 + random.uniform(-_JITTER, _JITTER, value.shape))).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return copy


def _write(layer: Int8Layer, node: NodeProto, adder: NodeProto, edited: Editing) -> None:
    name, places = layer.name, list(node.input)

    def dequantised(source: str, part: str, *scale: str, **axis: Any) -> str:
        result = edited.reserve(f"{name}.{part}.float")
        edited.before(node, make_node("DequantizeLinear", [source, *scale], [result], result, **axis))
        return result

    channels: dict[str, Any] = {"axis": 0} if layer.operator == "Conv" else {}
    scale_d = edited.hold(f"{name}.scale_d", np.asarray(layer.scale_d))
    zero = edited.hold(f"{name}.zero", np.zeros((), np.int8))
    quantised = edited.reserve(f"{name}.quant")
    edited.before(node, make_node("QuantizeLinear", [layer.value, scale_d, zero], [quantised], quantised))
    scale_w = edited.hold(f"{name}.scale_w", layer.scale_w if channels else layer.scale_w.reshape(()))
    weight = edited.hold(layer.weight_name, layer.weight)
    # ONNX Runtime 1.32 repeats both behind a Reshape, with what stands here: without a zero point that is a uint8.
    node.input[places.index(layer.value)] = dequantised(quantised, "value", scale_d, zero)
    node.input[places.index(layer.weight_name)] = dequantised(weight, "weight", scale_w, **channels)
    if layer.bias is not None:
        scale = edited.hold(f"{name}.scale", layer.scale if channels else layer.scale.reshape(()))
        bias = edited.hold(layer.bias_name, layer.bias)
        edited.bias(adder, dequantised(bias, "bias", scale, **channels))
