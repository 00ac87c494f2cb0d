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
    "tenth": 0.1,
    "minus": -1.0,
    "hundred": 100.0,
    "most": 6.0,
    "sharp": 1000.0,
    "ten": float(np.log(10)),
    "two": float(np.log(2)),
}


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """``inputs`` and ``output`` are names, separated by spaces."""
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


LAYER = (node("Flatten", "image", "flat"), node("Gemm", "flat weight bias", "x"))


def branches(first: Ending, second: Ending, condition: str, result: str = "y") -> NodeProto:
    """An ``If`` whose branches give their own ``y``."""
    graphs = [
        helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
        for nodes in (first, second)
    ]
    return node("If", condition, result, then_branch=graphs[0], else_branch=graphs[1])


def function(name: str, body: Ending) -> onnx.FunctionProto:
    """A local function ``mine.NAME`` from ``x`` to ``y``."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["x"], ["y"], body, opsets)


def classifier(
    path: Path,
    ending: Ending,
    classes: int = 7,
    shift: float = 0.0,
    scale: float = 1.0,
    functions: Sequence[onnx.FunctionProto] = (),
    layer: Ending = LAYER,
    batch: int | str = 1,
    columns: int | None = None,
) -> Path:
    """``x = scale * (a linear layer of the picture) + shift``, then ``ending`` from ``x`` to ``y``.

    Args:
        path, ending, shift, scale: see above.
        classes: of the layer.
        functions: of the file's own.
        layer: in place of the linear one.
        batch: a number, or a name for any.
        columns: of ``y``; the classes, but where they are ranked.
    """
    random = np.random.default_rng(5)
    weights: dict[str, np.ndarray] = {
        "weight": (scale * random.standard_normal((3 * 8 * 8, classes)) / 6).astype(np.float32),
        "bias": (shift + scale * np.linspace(-2, 1, classes)).astype(np.float32),
        "rows": np.array([-1, classes], np.int64),
        "axis": np.array([1], np.int64),
        "five": np.array([5], np.int64),
        "none": np.array(0, np.uint8),
        "middle": np.array(128, np.uint8),
        "yes": np.array(True),
        "no": np.array(False),
        "pair": np.array([0, 1], np.float32),
        "count": np.array([classes], np.int64),
        "once": np.array(1, np.int64),
        "cube": np.array([1, classes, 1], np.int64),
        "one_": np.array([1], np.int64),
        "seven_": np.array([7], np.int64),
        "order": np.roll(np.arange(classes), 3),
        "prior": np.linspace(0.5, 2, classes, dtype=np.float32),
        "mixing": np.full((classes, classes), 1 / classes, np.float32),
        "whole": np.round(random.standard_normal((192, classes)) * 40).astype(np.int8),
        "thin": random.standard_normal((3, classes)).astype(np.float32),
        "filters": random.standard_normal((classes, 3, 4, 4)).astype(np.float32) / 4,
        **{name: np.array(value, np.float32) for name, value in CONSTANTS.items()},
    }
    columns = columns or (
        5 if any(n.op_type == "TopK" for n in ending) else 1 if any(n.op_type == "ArgMax" for n in ending) else classes
    )
    graph = helper.make_graph(
        [*layer, *ending],
        "stranger",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    versions = {"": 17, "mine": 1, "com.microsoft": 1, "ai.onnx.ml": 3}
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions), path)
    return path


CLASS_NUMBER = [node("ArgMax", "x", "i", axis=1), node("Cast", "i", "y", to=TensorProto.FLOAT)]
OVER_THE_BATCH = [node("Softmax", "x", "y", axis=0)]
