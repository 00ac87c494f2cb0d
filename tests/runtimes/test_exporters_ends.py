"""Ends as exporters, quantisers and hubs write them: each reading by the file's own output for a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from neonext_ascend.images.decoding import read_picture
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.meanings import softmax
from neonext_ascend.runtimes.ort import OrtRunner
from tests.runtimes.test_answers import PICTURE, SPELLED, Scores, classified
from tests.support.endings import LAYER, Ending, branches, classifier, node

SOFTMAX, SIGMOID, SAME = node("Softmax", "x", "p"), node("Sigmoid", "x", "p"), node("Identity", "x", "y")
CONV = node("Conv", "image filters", "z", strides=[4, 4])
CODES = [node("QuantizeLinear", "x tenth middle", "q")]
LOOP = helper.make_graph(
    [node("Identity", "on", "still"), node("Softmax", "before", "after")],
    "body",
    [
        helper.make_tensor_value_info("number", TensorProto.INT64, []),
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
    ],
    [
        helper.make_tensor_value_info("still", TensorProto.BOOL, []),
        helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
    ],
)
# onnxruntime's dynamic quantiser: a product of whole numbers, scaled by what the picture gives.
DYNAMIC = [
    LAYER[0],
    node("DynamicQuantizeLinear", "flat", "q s o"),
    node("MatMulInteger", "q whole o", "i"),
    node("Cast", "i", "f", to=TensorProto.FLOAT),
    node("Mul", "s tenth", "t"),
    node("Mul", "f t", "scaled"),
    node("Add", "scaled bias", "x"),
]


def linear(transform: str) -> dict[str, Any]:
    """scikit-learn's, without its labels."""
    random = np.random.default_rng(2)
    classifying = node(
        "LinearClassifier", "flat", "label y", domain="ai.onnx.ml", post_transform=transform,
        coefficients=random.standard_normal(7 * 192) / 6, intercepts=np.zeros(7), classlabels_ints=range(7),
    )  # fmt: skip
    return {"layer": [LAYER[0], classifying]}


def maps(*after: Any) -> dict[str, Any]:
    return {"layer": [CONV, *after]}


def same(values: Scores) -> Scores:
    return values


def crops(operator: str) -> Ending:
    return [
        node("Mul", "p one", "p2"),
        node("Concat", "p p2", "both", axis=0),
        node(operator, "both", "y", axes=[0], keepdims=1),
    ]


Case = tuple[str, Ending, dict[str, Any], Callable[[Scores], Scores], str]
CASES: list[Case] = [
    ("Paddle: scale", [SOFTMAX, node("Mul", "p one", "m"), node("Add", "m zero", "y")], {}, same, "probabilities"),
    ("Keras: stable softmax", [node("ReduceMax", "x", "m", axes=[1]), node("Sub", "x m", "c"), node("Exp", "c", "e"),
     *SPELLED[1:]], {}, same, "probabilities"),
    ("SqueezeNet", [node("Relu", "z", "r"), node("GlobalAveragePool", "r", "g"), node("Flatten", "g", "y")], maps(),
     softmax, "logits"),
    ("softmax of maps, pooled", [node("Softmax", "z", "p", axis=1), node("GlobalAveragePool", "p", "g"),
     node("Flatten", "g", "y")], maps(), same, "probabilities"),
    ("sigmoid of maps, pooled", [node("Sigmoid", "z", "p"), node("ReduceMean", "p", "y", axes=[2, 3], keepdims=0)],
     maps(), same, "a score for each class by itself"),
    ("tf2onnx: pooled last", [node("Transpose", "z", "t", perm=[0, 2, 3, 1]), node("ReduceMean", "t", "y", axes=[1, 2],
     keepdims=0)], maps(), softmax, "logits"),
    ("crops", [SOFTMAX, *crops("ReduceMean")], {}, same, "probabilities"),
    ("DeiT: two heads", [node("Gemm", "flat weight bias", "x2"), node("Add", "x x2", "a"), node("Mul", "a half", "y")],
     {}, softmax, "logits"),
    ("a mean by a product", [SOFTMAX, node("MatMul", "p mixing", "y")], {}, same, "probabilities"),
    ("one logit, two classes", [SIGMOID, node("Sub", "one p", "n"), node("Concat", "n p", "y", axis=1)],
     {"classes": 1, "columns": 2}, same, "probabilities"),
    ("two logits, two classes", [node("Neg", "x", "n"), node("Concat", "n x", "y", axis=1)],
     {"classes": 1, "columns": 2}, softmax, "logits"),
    ("background left out, logits", [node("Slice", "x one_ seven_ one_", "y")], {"columns": 6}, softmax, "logits"),
    ("background left out, shares", [SOFTMAX, node("Slice", "p one_ seven_ one_", "y")], {"columns": 6}, same,
     "scores as they are: the values are between 0 and 1"),
    ("two groups of classes", [SOFTMAX, node("Concat", "p p", "y", axis=1)], {"columns": 14}, same,
     "scores as they are: the values are between 0 and 1"),
    ("another order of classes", [node("Gather", "x order", "o", axis=1), node("Softmax", "o", "y")], {}, same,
     "probabilities"),
    ("another order of logits", [node("Gather", "x order", "y", axis=1)], {}, softmax, "logits"),
    ("calibrated", [node("Mul", "x prior", "c"), node("Add", "c bias", "d"), node("Softmax", "d", "y")], {}, same,
     "probabilities"),
    ("BatchNormalization", [node("BatchNormalization", "x prior bias bias prior", "y")], {}, softmax, "logits"),
    ("a prior", [SOFTMAX, node("Mul", "p prior", "e"), *SPELLED[1:]], {}, same, "probabilities"),
    ("2,000 classes, a bias", [node("Add", "x bias", "b"), node("Sigmoid", "b", "y")], {"classes": 2000}, same,
     "a score for each class by itself"),
    ("2,000 classes, a prior", [SOFTMAX, node("Mul", "p prior", "e"), *SPELLED[1:]], {"classes": 2000}, same,
     "probabilities"),
    ("2,000 classes, logits", [node("Add", "x bias", "y")], {"classes": 2000}, softmax, "logits"),
    ("fp16", [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("Sigmoid", "h", "s"), node("Cast", "s", "y", to=1)],
     {}, same, "a score for each class by itself"),
    ("8 bits: logits", [*CODES, node("DequantizeLinear", "q tenth middle", "y")], {}, softmax, "logits"),
    ("8 bits: Softmax", [*CODES, node("QLinearSoftmax", "q tenth middle step none", "u", domain="com.microsoft",
     axis=1, opset=17), node("DequantizeLinear", "u step none", "y")], {}, same, "(it ends in Softmax)"),
    ("8 bits: Sigmoid", [*CODES, node("QLinearSigmoid", "q tenth middle step none", "u", domain="com.microsoft"),
     node("DequantizeLinear", "u step none", "y")], {}, same, "(it ends in Sigmoid)"),
    ("dynamic: logits", [SAME], {"layer": DYNAMIC}, softmax, "logits"),
    ("dynamic: Tanh", [node("Tanh", "x", "y")], {"layer": DYNAMIC}, same, "between -1 and 1 (it ends in Tanh)"),
    ("dynamic: percent", [SOFTMAX, node("Mul", "p hundred", "y")], {"layer": DYNAMIC}, lambda v: v / 100,
     "probabilities times 100"),
    ("any batch", [SOFTMAX, node("Mul", "p hundred", "y")], {"batch": "N"}, lambda v: v / 100, "times 100"),
    ("four at once", [node("Tanh", "x", "y")], {"batch": 4}, same, "between -1 and 1 (it ends in Tanh)"),
    ("scikit-learn: logits", [], linear("NONE"), softmax, "logits"),
    ("scikit-learn: logistic", [], linear("LOGISTIC"), same, "(all its values are between 0 and 1)"),
    ("scikit-learn: softmax", [], linear("SOFTMAX"), same, "probabilities"),
    ("onnxruntime's own operator", [node("QuickGelu", "x", "y", domain="com.microsoft")], {}, softmax, "logits"),
    ("classes as many as pixels", [node("ReduceMean", "z", "y", axes=[1, 2], keepdims=0)], {"classes": 8, "layer":
     [node("Transpose", "image", "t", perm=[0, 2, 3, 1]), node("MatMul", "t thin", "z")]}, softmax, "logits"),
    ("torch.squeeze of any size", [node("GlobalAveragePool", "z", "g"), node("Shape", "g", "s"),
     node("Gather", "s once", "n"), node("Cast", "n", "c", to=TensorProto.BOOL),
     branches([node("Reshape", "g rows", "y")], [node("Identity", "g", "y")], "c")], maps(), softmax, "logits"),
    ("a loop", [node("Loop", "once yes x", "y", body=LOOP)], {}, same, "probabilities"),
    ("a loop, then percent", [node("Loop", "once yes x", "l", body=LOOP), node("Mul", "l hundred", "y")], {},
     lambda v: v / 100, "probabilities times 100"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_an_exporters_end_is_read(tmp_path: Path, case: Case) -> None:
    _, ending, options, right, words = case
    path = classifier(tmp_path / "net.onnx", ending, **options)
    got, answers = classified(path)
    row = Preprocessing((8, 8))(read_picture(PICTURE).image)[None]
    with OrtRunner(path) as runner:
        batch = runner.inputs[0].shape[0]
        values = runner.infer({"image": np.repeat(row, batch if isinstance(batch, int) else 1, axis=0)})["y"][0]
    want = right(values.astype(np.float64))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)  # single precision, of values of about 1
    assert words in (answers.recipe.assumed or "")
    assert answers.recipe.answers.probabilities == ("scores as they are" not in words and "-1 and 1" not in words)
