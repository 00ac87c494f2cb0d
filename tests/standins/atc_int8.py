"""How the stand-in ``atc`` computes the vendor's int8 operators: by the integer products of ai.onnx.

From the facts alone (hicann/amct 2be20da): AscendQuant is ``round(x scale) + offset`` in -128..127, the low 32 bits of
AscendDequant's parameter are a float32, its dtype 0 is fp32 and 1 is fp16. It shares nothing with the package.
"""

from __future__ import annotations

import struct

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_PRODUCTS = {"Conv": "ConvInteger", "MatMul": "MatMulInteger", "Gemm": "MatMulInteger"}


def lower_int8(model: ModelProto) -> None:
    """Write ONNX's own integer operators in their place."""
    graph = model.graph
    if not any(node.op_type == "AscendQuant" for node in graph.node):
        return
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    whole: dict[str, bool] = {}  # integer values -> whether a Conv gave them
    made: list[NodeProto] = []

    def put(name: str, value: np.ndarray) -> str:
        if name not in held:
            held[name] = value
            graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add(kind: str, inputs: list[str], output: str, **attributes: object) -> None:
        made.append(helper.make_node(kind, inputs, [output], f"{output}/{kind}", **attributes))  # type: ignore[arg-type] # of any kind

    for node in graph.node:
        told = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        first, result = node.input[0] if node.input else "", node.output[0]
        if node.op_type == "AscendQuant":
            assert told["dst_type"] == b"INT8"
            by = put(f"{result}/by", np.array(told["scale"], np.float32))
            offset = put(f"{result}/offset", np.array(told["offset"], np.float32))
            low, high = put("int8/low", np.array(-128, np.float32)), put("int8/high", np.array(127, np.float32))
            add("Cast", [first], f"{result}/1", to=TensorProto.FLOAT)
            add("Mul", [f"{result}/1", by], f"{result}/2")
            add("Round", [f"{result}/2"], f"{result}/3")
            add("Add", [f"{result}/3", offset], f"{result}/4")
            add("Clip", [f"{result}/4", low, high], f"{result}/5")
            add("Cast", [f"{result}/5"], result, to=TensorProto.INT8)
            whole[result] = False
        elif node.op_type == "AscendDequant":
            words = [int(word) & 0xFFFFFFFF for word in held[node.input[1]]]
            scales = np.array([struct.unpack("<f", struct.pack("<I", word))[0] for word in words], np.float32)
            shape = (-1, 1, 1) if whole[first] else (-1,)
            add("Cast", [first], f"{result}/1", to=TensorProto.FLOAT)
            add("Mul", [f"{result}/1", put(f"{result}/by", scales.reshape(shape))], f"{result}/2")
            add("Cast", [f"{result}/2"], result, to=TensorProto.FLOAT16 if told["dtype"] == 1 else TensorProto.FLOAT)
        elif first in whole and node.op_type in _PRODUCTS:
            conv, weight = node.op_type == "Conv", held[node.input[1]]
            assert weight.dtype == np.int8
            whole[result] = conv
            if told.pop("transB", 0):
                weight = np.ascontiguousarray(weight.T)
            # uint8 with a zero point of 128, which every build of ONNX Runtime takes.
            moved = f"{result}/uint8"
            add("Cast", [first], f"{moved}/1", to=TensorProto.INT32)
            add("Add", [f"{moved}/1", put("int8/128", np.array(128, np.int32))], f"{moved}/2")
            add("Cast", [f"{moved}/2"], moved, to=TensorProto.UINT8)
            operands = [moved, put(f"{result}/weight", weight), put("int8/zero", np.array(128, np.uint8))]
            add(_PRODUCTS[node.op_type], operands, f"{result}/sums", **(told if conv else {}))
            bias = held[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.int32)
            assert bias.dtype == np.int32
            add("Add", [f"{result}/sums", put(f"{result}/bias", bias.reshape((-1, 1, 1) if conv else (-1,)))], result)
        else:
            if node.op_type == "Add" and first in whole:
                whole[result] = whole[first]
            made.append(node)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in made]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copies)
    read = {name for node in copies for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(left)
