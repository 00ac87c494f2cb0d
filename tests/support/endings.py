"""Small classifiers by nobody we know, without a manifest: one linear layer, and what their makers put behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

Ending = Sequence[NodeProto]
CONSTANTS = {
    "one": 1.0,
    "half": 0.5,
    "fifth": 0.2,
    "zero": 0.0,
    "step": 1 / 255,
}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """``inputs`` and ``output`` are names, separated by spaces."""
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


def classifier(path: Path, ending: Ending, classes: int = 7, shift: float = 0.0, scale: float = 1.0) -> Path:
    """``x = scale * (a linear layer of the picture) + shift``, then ``ending`` from ``x`` to ``y``; a batch of one."""
    random = np.random.default_rng(5)
    weights: dict[str, np.ndarray] = {
        "weight": (scale * random.standard_normal((3 * 8 * 8, classes)) / 6).astype(np.float32),
        "bias": (shift + scale * np.linspace(-2, 1, classes)).astype(np.float32),
        "rows": np.array([-1, classes], np.int64),
        "axis": np.array([1], np.int64),
        "five": np.array([5], np.int64),
        "none": np.array(0, np.uint8),
        **{name: np.array(value, np.float32) for name, value in CONSTANTS.items()},
    }
    columns = (
        5 if any(n.op_type == "TopK" for n in ending) else 1 if any(n.op_type == "ArgMax" for n in ending) else classes
    )
    graph = helper.make_graph(
        [node("Flatten", "image", "flat"), node("Gemm", "flat weight bias", "x"), *ending],
        "stranger",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


CLASS_NUMBER = [node("ArgMax", "x", "i", axis=1), node("Cast", "i", "y", to=TensorProto.FLOAT)]
OVER_THE_BATCH = [node("Softmax", "x", "y", axis=0)]
