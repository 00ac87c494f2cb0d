"""The vendor's deploy form and record, written a second time: straight from what its public sources say.

hicann/amct 2be20da. AscendQuant ``L.quant`` with ``scale`` = 1 / scale_d, ``offset``, ``dst_type`` INT8. The weight
is INT8, symmetric. The bias is INT32, round(b / (scale_w scale_d)). AscendDequant ``L.dequant`` with a 1-D UINT64
``L.dequant.param``, whose low 32 bits are the float32 of scale_w scale_d, and ``dtype`` 1 for fp16; with MatMul + Add
it stands behind the Add. Everything else is fp16. It imports nothing of the package.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper


def record_of(text: str) -> dict[str, tuple[float, list[float]]]:
    """Layer -> scale_d and scale_w, of a record's text; each offset is 0."""
    found = {}
    for body in re.findall(r"record \{\n(.*?)\n\}", text, re.DOTALL):
        (name,) = re.findall(r'^  key: "(.*)"$', body, re.MULTILINE)
        fields = re.findall(r"^    (\w+): (\S+)$", body, re.MULTILINE)
        assert {value for field, value in fields if field.startswith("offset")} == {"0"}
        assert sum(field == "offset_w" for field, _ in fields) == sum(field == "scale_w" for field, _ in fields)
        (scale_d,) = (float(value) for field, value in fields if field == "scale_d")
        found[name] = scale_d, [float(value) for field, value in fields if field == "scale_w"]
    return found


def deploy_form(model: ModelProto, record: dict[str, tuple[float, list[float]]]) -> ModelProto:
    """A float32 model in the deploy form, by a record."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    readers = {name: node for node in model.graph.node for name in node.input}
    nodes: list[Any] = []
    waiting: dict[str, tuple[str, str, float, NDArray[np.float64]]] = {}  # result of a MatMul -> its dequantisation
    for node in model.graph.node:
        name, result = node.name, node.output[0]
        inputs, told = list(node.input), {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if name in record:
            scale_d, scale_w = np.float32(record[name][0]), np.array(record[name][1], np.float32)
            quant = helper.make_node("AscendQuant", [inputs[0]], [f"{name}.quant"], f"{name}.quant", dst_type="INT8",
                                     offset=0.0, scale=float(np.float32(1.0) / scale_d))  # fmt: skip
            weight = held[inputs[1]]
            per_row = scale_w.reshape(-1, *[1] * (weight.ndim - 1)) if node.op_type == "Conv" else scale_w
            held[inputs[1]] = np.clip(np.rint(weight / per_row), -127, 127).astype(np.int8)
            both = np.array([np.float32(one) * scale_d for one in scale_w], np.float32)
            words = [struct.unpack("<I", struct.pack("<f", one))[0] for one in both]
            held[f"{name}.dequant.param"] = np.array(words, np.uint64)
            nodes.append(quant)
            inputs[0] = f"{name}.quant"
            add = readers.get(result)
            if node.op_type == "MatMul" and add is not None and add.op_type == "Add":
                waiting[result] = name, add.name, 0.0, both.astype(np.float64)
                nodes.append(helper.make_node(node.op_type, inputs, [result], name, **told))
                continue
            if len(inputs) > 2:
                held[inputs[2]] = np.rint(held[inputs[2]].astype(np.float64) / both.astype(np.float64)).astype(np.int32)
            nodes.append(helper.make_node(node.op_type, inputs, [f"{name}.int32"], name, **told))
            nodes.append(_dequant(name, f"{name}.int32", result))
        elif inputs and inputs[0] in waiting:
            layer, _, _, both64 = waiting[inputs[0]]
            held[inputs[1]] = np.rint(held[inputs[1]].astype(np.float64) / both64).astype(np.int32)
            nodes.append(helper.make_node("Add", inputs, [f"{layer}.int32"], name))
            nodes.append(_dequant(layer, f"{layer}.int32", result))
        else:
            nodes.append(node)
    half = {n: v.astype(np.float16) if v.dtype == np.float32 else v for n, v in held.items()}
    values = [*model.graph.input, *model.graph.output]
    inside, outside = (
        [helper.make_tensor_value_info(v.name, TensorProto.FLOAT16, _shape(v)) for v in side]
        for side in (values[: len(model.graph.input)], values[len(model.graph.input) :])
    )
    constants = [numpy_helper.from_array(np.ascontiguousarray(v).reshape(v.shape), n) for n, v in half.items()]
    return helper.make_model(helper.make_graph(nodes, "amct", inside, outside, constants))


def _shape(value: Any) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _dequant(layer: str, sums: str, result: str) -> Any:
    return helper.make_node("AscendDequant", [sums, f"{layer}.dequant.param"], [result], f"{layer}.dequant", dtype=1)


def described(model: ModelProto) -> dict[str, Any]:
    """What must be equal, bit for bit: nodes in order with attributes, constants with dtype, shape and bytes, ends."""
    nodes = [
        (n.op_type, n.domain, n.name, list(n.input), list(n.output),
         sorted((a.name, a.type, a.SerializeToString()) for a in n.attribute)) for n in model.graph.node
    ]  # fmt: skip
    constants = {
        t.name: (t.data_type, list(t.dims), numpy_helper.to_array(t).tobytes()) for t in model.graph.initializer
    }
    ends = [
        (v.name, v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in (*model.graph.input, *model.graph.output)
    ]
    return {"nodes": nodes, "constants": constants, "ends": ends}
