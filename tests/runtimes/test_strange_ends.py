"""Ends that a name does not tell: in functions, in branches, spelled out, quantised, and those that give no shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from neonext_ascend import jobs
from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.answers import answers_of
from neonext_ascend.runtimes.meanings import LOGITS, softmax
from tests.runtimes.test_answers import PICTURE, Compiled, Scores, classified, logits_of, sigmoid
from tests.support.endings import LAYER, Ending, branches, classifier, function, node

SOFTMAX, SIGMOID = node("Softmax", "x", "p"), node("Sigmoid", "x", "p")
SAME = [node("Identity", "x", "y")]
AS_THEY_ARE = "scores as they are: the values are "
ROUNDED = 1e-6  # single precision, of values of about 1


@dataclass(frozen=True)
class Case:
    """An end, the scores that are right (``None``: refused), and what is said; ``shares``: whether they are percent."""

    name: str
    ending: Ending
    right: Callable[[Scores], Scores] | None
    words: str
    shares: bool = True
    within: float = ROUNDED
    options: dict[str, Any] = field(default_factory=dict)


def ends(first: str, *others: str | tuple[str, dict[str, Any]]) -> Ending:
    """A chain from ``x`` to ``y`` of operators, each with its further inputs: ``"Mul hundred"``."""
    chain, value = [first, *others], "x"
    nodes = []
    for number, link in enumerate(chain):
        text, attributes = (link, {}) if isinstance(link, str) else link
        operator, *more = text.split()
        result = "y" if number == len(chain) - 1 else f"link{number}"
        inputs = [*(name[1:] for name in more if name.startswith("<")), value]
        inputs += [name for name in more if not name.startswith("<")]
        nodes.append(node(operator, " ".join(inputs), result, **attributes))
        value = result
    return nodes


PICTURE_IS_BRIGHT = [
    node("ReduceSum", "image", "sum", keepdims=0),
    node("Greater", "sum zero", "bright"),
]


def call(name: str) -> Ending:
    return [node(name, "x", "y", domain="mine")]


def on(*functions: Any) -> dict[str, Any]:
    return {"functions": functions}


SOFT = [node("Softmax", "x", "y")]
HEAD = [node("Gemm", "flat weight bias", "x2"), node("Sigmoid", "x2", "y")]
ONE_MINUS = [
    node("Constant", "", "unit", value_float=1.0),
    node("Sub", "unit p", "y"),
]
TURNED = [node("Gemm", "flat weight bias", "x2"), node("Sigmoid", "x2", "p"), *ONE_MINUS]
IN_THE_BRANCH = {"layer": LAYER[:1]}

FOLDED = [
    Case("a function with Softmax", call("Head"), softmax, "probabilities", options=on(function("Head", SOFT))),
    Case(
        "a function in a function",
        call("Outer"),
        sigmoid,
        "a score for each class by itself",
        options=on(
            function("Inner", [node("Sigmoid", "x", "y")]), function("Outer", [node("Inner", "x", "y", domain="mine")])
        ),
    ),
    Case("mine.Softmax is none", call("Softmax"), softmax, "logits", options=on(function("Softmax", SAME))),
    Case("mine.Sigmoid is a softmax", call("Sigmoid"), softmax, "probabilities", options=on(function("Sigmoid", SOFT))),
    Case("mine.TopK ranks nothing", call("ArgMin"), softmax, "logits", options=on(function("ArgMin", SAME))),
    Case("an If", [*PICTURE_IS_BRIGHT, branches(SOFT, SOFT, "bright")], softmax, "probabilities"),
    Case("an If that is always so", [branches(SOFT, SAME, "yes")], softmax, "probabilities"),
    Case("an If that is never so", [branches(SOFT, SAME, "no")], softmax, "logits"),
    Case(
        "an If in an If",
        [*PICTURE_IS_BRIGHT, branches([branches(SOFT, SAME, "yes")], SOFT, "bright")],
        softmax,
        "probabilities",
    ),
    Case(
        "an If in a function",
        call("Head"),
        softmax,
        "probabilities",
        options=on(
            function(
                "Head",
                [
                    node("ReduceMax", "x", "m", keepdims=0),
                    node("Cast", "m", "c", to=TensorProto.BOOL),
                    branches(SOFT, SOFT, "c"),
                ],
            )
        ),
    ),
    Case(
        "layers in the branches",
        [*PICTURE_IS_BRIGHT, branches(HEAD, HEAD, "bright")],
        sigmoid,
        "a score for each class by itself",
        options=IN_THE_BRANCH,
    ),
    Case(
        "1 - Sigmoid in a function",
        call("Head"),
        None,
        "makes less of a class the likelier it is",
        options=on(function("Head", [node("Sigmoid", "x", "p"), *ONE_MINUS])),
    ),
    Case(
        "1 - Sigmoid behind layers in the branches",
        [*PICTURE_IS_BRIGHT, branches(TURNED, TURNED, "bright")],
        None,
        "makes less of a class the likelier it is",
        options=IN_THE_BRANCH,
    ),
    Case(
        "two branches with the same names",
        [
            *PICTURE_IS_BRIGHT,
            branches([node("Mul", "x half", "y")], [node("Mul", "x half", "y")], "bright", "z"),
            branches([node("Softmax", "z", "y")], [node("Softmax", "z", "y")], "bright"),
        ],
        lambda x: softmax(x / 2),
        "probabilities",
    ),
    Case("an If of two meanings", [*PICTURE_IS_BRIGHT, branches(SOFT, SAME, "bright")], None, "as an If decides"),
]
OTHERS = [
    Case("percent", ends("Softmax", "Mul hundred"), softmax, "probabilities times 100"),
    Case("percent of each", ends("Sigmoid", "Mul hundred"), sigmoid, "by itself, times 100, as its output"),
    Case(
        "percent of one", ends("Sigmoid", "Mul hundred"), sigmoid, "its one class, times 100,", options={"classes": 1}
    ),
    Case("1 - Softmax", ends("Softmax", "Sub <one"), softmax, "1 minus probabilities"),
    Case("1 - Sigmoid", ends("Sigmoid", "Sub <one"), None, r"its end \(Sub\) makes less of a class the likelier it is"),
    Case(
        "1 - Sigmoid behind a bias that is not read",
        ends("Add bias", "Sigmoid", "Sub <one"),
        None,
        "makes less of a",
        options={"classes": 2000},
    ),
    Case("a loss", ends("LogSoftmax", "Neg"), softmax, "negative logarithms of probabilities"),
    Case("a loss of each", ends("Sigmoid", "Log", "Neg"), None, "makes less of a class"),
    Case("a distance", ends("Neg"), None, r"its end \(Neg\) makes less of a class the likelier"),
    Case("decibans", ends("LogSoftmax", "Div ten"), softmax, "decimal logarithms of probabilities"),
    Case("bits", ends("LogSoftmax", "Div two"), softmax, "binary logarithms of probabilities"),
    Case("Sqrt", ends("Softmax", "Sqrt"), lambda x: np.sqrt(softmax(x)), AS_THEY_ARE + "between ", False),
    Case("Tanh", ends("Tanh"), np.tanh, AS_THEY_ARE + "between -1 and 1 (it ends in Tanh)", False),
    Case("Softsign", ends("Softsign"), lambda x: x / (1 + np.abs(x)), "between -0.9999 and 0.9999", False),
    Case("LpNormalization", ends("LpNormalization"), lambda x: x / np.linalg.norm(x), "between -1 and 1", False),
    Case("Hardmax", ends("Hardmax"), lambda x: np.eye(len(x))[x.argmax()], "1 for one class and 0 for every", False),
    Case(
        "one-hot",
        [node("ArgMax", "x", "i", axis=1, keepdims=0), node("OneHot", "i count pair", "y")],
        lambda x: np.eye(len(x))[x.argmax()],
        "1 for one class and 0 for every other",
        False,
    ),
    Case(
        "a threshold",
        ends("Greater half", ("Cast", {"to": 1})),
        lambda x: (x > 0.5).astype(np.float64),
        "1 or 0 for each class",
        False,
    ),
    Case("sharp", ends("Mul sharp", "Softmax"), lambda x: softmax(1000 * x), "(it ends in Softmax)"),
    Case(
        "rounded percent",
        ends("Softmax", "Mul hundred", "Round"),
        lambda x: np.round(100 * softmax(x)),
        AS_THEY_ARE + "between 0 and 100",
        False,
    ),
    Case("Relu6", ends("Clip zero most"), lambda x: np.clip(x, 0, 6), AS_THEY_ARE + "between 0 and 6", False),
    Case("Exp", ends("Exp"), np.exp, AS_THEY_ARE + "neither logits nor", False, 1e-5),
    Case("Softplus", ends("Softplus"), lambda x: np.log1p(np.exp(x)), AS_THEY_ARE + "neither logits", False),
    Case("Abs", ends("Abs"), np.abs, AS_THEY_ARE + "neither logits", False),
    Case("a soft cap", ends("Tanh", "Mul most"), lambda x: 6 * np.tanh(x), "between -6 and 6", False, 1e-5),
    Case("always the same", ends("Mul zero"), None, "gives the same for every picture"),
    Case("temperature", ends("Mul half"), lambda x: softmax(x / 2), "logits"),
    Case(
        "GELU spelled",
        [node("Sigmoid", "x", "g"), node("Mul", "x g", "y")],
        lambda x: softmax(x * sigmoid(x)),
        "logits",
    ),
    Case("centred", [node("ReduceMax", "x", "m", axes=[1]), node("Sub", "x m", "y")], softmax, "logits"),
    Case("LeakyRelu", ends("LeakyRelu"), lambda x: softmax(np.where(x < 0, 0.01 * x, x)), "logits"),
]


@pytest.mark.parametrize("case", [*FOLDED, *OTHERS], ids=lambda case: case.name)
def test_what_an_end_means_is_seen_or_said(tmp_path: Path, case: Case) -> None:
    path = classifier(tmp_path / "net.onnx", case.ending, **case.options)
    if case.right is None:
        with pytest.raises(ArtifactError, match=case.words):
            jobs.predict(path, PICTURE)
        return
    got, answers = classified(path)
    want = case.right(logits_of(tmp_path, **{k: v for k, v in case.options.items() if k == "classes"}))
    np.testing.assert_allclose(got, want, rtol=0, atol=case.within)
    assert case.words in (answers.recipe.assumed or "")
    assert answers.recipe.answers.probabilities == case.shares


@pytest.mark.parametrize("operator", ["Softmax", "Sigmoid", "ArgMax", "Conv"])
def test_an_operator_of_somebodys_own_is_not_what_its_name_says(tmp_path: Path, operator: str) -> None:
    path = classifier(tmp_path / "net.onnx", call(operator), batch=2)
    assert answers_of(path, Compiled(np.positive, 7)) == LOGITS
    # What it may be, the values must tell: here a bounded curve.
    assert not answers_of(path, Compiled(np.tanh, 7)).probabilities
