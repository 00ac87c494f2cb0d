"""Small graphs whose products can be int8, or cannot, and inputs for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.precision.int8.deciding import Settings
from neonext_ascend.precision.int8.quantising import Quantised, quantised


def graph(
    nodes: Sequence[tuple[str, list[str], str, dict[str, Any]]],
    constants: dict[str, NDArray[Any]],
    shape: Sequence[int],
    opset: int = 17,
) -> ModelProto:
    """A model of nodes (operator, inputs, output, attributes), each named as its output; ``x`` goes in."""
    made = [helper.make_node(op, inputs, [out], out, **told) for op, inputs, out, told in nodes]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    result = [onnx.ValueInfoProto(name=nodes[-1][2])]
    model = helper.make_model(
        helper.make_graph(made, "g", given, result, held), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    return onnx.shape_inference.infer_shapes(model)


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def every_kind() -> ModelProto:
    """A grouped Conv with pads and strides, a Conv without bias, a MatMul with an Add, both kinds of Gemm."""
    return graph(
        [
            ("Conv", ["x", "w1", "b1"], "c1", {"pads": [1, 0, 2, 1], "strides": [2, 1], "group": 2}),
            ("Relu", ["c1"], "r1", {}),
            ("Conv", ["r1", "w2"], "c2", {"kernel_shape": [2, 2], "dilations": [1, 2]}),
            ("ReduceMean", ["c2"], "m", {"axes": [2, 3], "keepdims": 0}),
            ("MatMul", ["m", "w3"], "p", {}),
            ("Add", ["p", "b3"], "a", {}),
            ("Gemm", ["a", "w4", "b4"], "g1", {"transB": 1}),
            ("Gemm", ["g1", "w5"], "g2", {}),
        ],
        {
            "w1": drawn(6, 2, 3, 3, seed=1), "b1": drawn(6, seed=2), "w2": drawn(5, 6, 2, 2, seed=3),
            "w3": drawn(5, 7, seed=4), "b3": drawn(7, seed=5), "w4": drawn(4, 7, seed=6), "b4": drawn(4, seed=7),
            "w5": drawn(4, 3, seed=8),
        },
        (1, 4, 6, 7),
    )  # fmt: skip


def inputs(model: ModelProto, count: int = 8) -> list[NDArray[np.float32]]:
    """Of a model's shape."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return [drawn(*shape, seed=100 + number) for number in range(count)]


def decide(model: ModelProto, settings: Settings = Settings(), count: int = 8) -> Quantised:  # noqa: B008 -- frozen
    """The decision on such inputs."""
    return quantised(model, lambda: inputs(model, count), settings)


def named(decision: Decision) -> list[str]:
    """The layers in int8."""
    return [layer.name for layer in decision.layers]
