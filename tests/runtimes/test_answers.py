"""What strangers' files end in: none is turned into nonsense, and each says what it was taken for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ArtifactError
from neonext_ascend.jobs.predicting import Predictions
from neonext_ascend.runtimes.answers import answers_of
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.meanings import ONE_LOGIT, softmax
from neonext_ascend.spec import TensorSpec
from tests.support.endings import CLASS_NUMBER, OVER_THE_BATCH, Ending, classifier, node

PICTURE = sample_pictures()[3]
Scores = NDArray[np.float64]


def sigmoid(x: Scores) -> Scores:
    return np.asarray(1 / (1 + np.exp(-x)))


def classified(path: Path) -> tuple[Scores, Predictions]:
    with jobs.predict(path, PICTURE, top=5000) as answers:
        (prediction,) = answers
    assert prediction.error is None
    return np.array([g.score for g in sorted(prediction.top, key=lambda g: g.index)]), answers


def logits_of(folder: Path, **options: float) -> Scores:
    """Of the picture, by the linear layer alone in numpy: the network without any ending."""
    from neonext_ascend.images.decoding import read_picture
    from neonext_ascend.images.preprocessing import Preprocessing
    from neonext_ascend.runtimes.ort import OrtRunner

    path = classifier(folder / "bare.onnx", [node("Identity", "x", "y")], **options)  # type: ignore[arg-type] # classes is whole
    with OrtRunner(path) as runner:
        values = runner.infer({"image": Preprocessing((8, 8))(read_picture(PICTURE).image)[None]})["y"]
    return np.asarray(values[0], np.float64)


SOFTMAX = node("Softmax", "x", "p")
HALVED = [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("Softmax", "h", "q")]
SPELLED = [node("Exp", "x", "e"), node("ReduceSum", "e axis", "s"), node("Div", "e s", "y")]
STABLE = [node("ReduceMax", "x", "m", axes=[1]), node("Sub", "x m", "c"), node("Exp", "c", "e"), *SPELLED[1:]]
TWO = [
    SOFTMAX,
    node("Mul", "x half", "x2"),
    node("Softmax", "x2", "p2"),
    node("Add", "p p2", "a"),
    node("Mul", "a half", "y"),
]
EIGHT_BITS = [SOFTMAX, node("QuantizeLinear", "p step none", "q"), node("DequantizeLinear", "q step none", "y")]
ONE_OVER = [node("Neg", "x", "n"), node("Exp", "n", "e"), node("Add", "e one", "a"), node("Div", "one a", "y")]
BY_TANH = [node("Mul", "x half", "h"), node("Tanh", "h", "t"), node("Mul", "t half", "u"), node("Add", "u half", "y")]
HARD = [node("Mul", "x fifth", "f"), node("Add", "f half", "a"), node("Clip", "a zero one", "y")]

Case = tuple[str, Ending, Callable[[Scores], Scores], str, float]
# Each: what it ends in, the scores that are right, what is said, and within what (1e-6: single precision's rounding).
CASES: list[Case] = [
    ("nothing", [node("Identity", "x", "y")], softmax, "logits as its output", 1e-6),
    ("Relu", [node("Relu", "x", "y")], lambda x: softmax(np.maximum(x, 0)), "logits as its output", 1e-6),
    ("Softmax", [node("Softmax", "x", "y")], softmax, "probabilities as its output (it ends in Softmax)", 1e-6),
    ("Softmax, Identity", [SOFTMAX, node("Identity", "p", "y")], softmax, "(it ends in Softmax)", 1e-6),
    ("Softmax, Reshape", [SOFTMAX, node("Reshape", "p rows", "y")], softmax, "(it ends in Softmax)", 1e-6),
    ("Softmax, Flatten", [SOFTMAX, node("Flatten", "p", "y")], softmax, "(it ends in Softmax)", 1e-6),
    # fp16: 2^-11 of a probability of at most 1, three times.
    ("Softmax in fp16, Cast", [*HALVED, node("Cast", "q", "y", to=1)], softmax, "(it ends in Softmax)", 1.5e-3),
    ("Softmax, Clip", [SOFTMAX, node("Clip", "p zero one", "y")], softmax, "(it ends in Softmax)", 1e-6),
    ("Softmax in 8 bits", EIGHT_BITS, softmax, "(it ends in Softmax)", 0.5 / 255 + 1e-6),
    ("softmax spelled out", SPELLED, softmax, "probabilities as its output (its rows sum to 1)", 1e-6),
    ("softmax spelled out stably", STABLE, softmax, "(its rows sum to 1)", 1e-6),
    ("a mean of two", TWO, lambda x: 0.5 * softmax(x) + 0.5 * softmax(x / 2), "(its rows sum to 1)", 1e-6),
    ("Hardmax", [node("Hardmax", "x", "y")], lambda x: np.eye(len(x))[x.argmax()], "1 for one class and", 0.0),
    ("LogSoftmax", [node("LogSoftmax", "x", "y")], softmax, "logarithms of probabilities", 1e-6),
    ("Log of Softmax", [SOFTMAX, node("Log", "p", "y")], softmax, "(their exponentials sum to 1)", 1e-6),
    (
        "LogSumExp taken off",
        [node("ReduceLogSumExp", "x", "l", axes=[1]), node("Sub", "x l", "y")],
        softmax,
        "(their exponentials sum to 1)",
        1e-6,
    ),
    ("Sigmoid", [node("Sigmoid", "x", "y")], sigmoid, "a score for each class by itself", 1e-6),
    ("Sigmoid, Cast", [node("Sigmoid", "x", "p"), node("Cast", "p", "y", to=1)], sigmoid, "(it ends in Sigmoid)", 1e-6),
    ("sigmoid spelled out", ONE_OVER, sigmoid, "(all its values are between 0 and 1)", 1e-6),
    ("sigmoid by tanh", BY_TANH, sigmoid, "(all its values are between 0 and 1)", 1e-6),
    ("HardSigmoid", [node("HardSigmoid", "x", "y")], lambda x: np.clip(0.2 * x + 0.5, 0, 1), "HardSigmoid", 1e-6),
    ("hard sigmoid spelled out", HARD, lambda x: np.clip(0.2 * x + 0.5, 0, 1), "between 0 and 1", 1e-6),
    ("Log of Sigmoid", [node("Sigmoid", "x", "p"), node("Log", "p", "y")], sigmoid, "logarithms of a score", 1e-6),
]


@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_scores_are_what_the_file_means(tmp_path: Path, case: Case) -> None:
    _, ending, right, words, within = case
    got, answers = classified(classifier(tmp_path / "net.onnx", ending))
    want = right(logits_of(tmp_path))
    np.testing.assert_allclose(got, want, rtol=0, atol=within)
    # The check can fail: one softmax more would be seen.
    assert np.abs(softmax(want) - want).max() > 10 * within
    assumed = answers.recipe.assumed or ""
    assert assumed.startswith("no manifest net.json beside it: assuming ImageNet's resize, crop, mean and std, and ")
    assert words in assumed


@pytest.mark.parametrize(
    ("ending", "right", "words"),
    [
        ([node("Identity", "x", "y")], sigmoid, "the logit of its one class"),
        ([node("Sigmoid", "x", "y")], sigmoid, "the probability of its one class as its output (it ends in Sigmoid)"),
        (ONE_OVER, sigmoid, "the probability of its one class"),
        ([node("Softmax", "x", "y")], np.ones_like, "always 1 for its one class (it ends in Softmax): the scores mean"),
        (SPELLED, np.ones_like, "always 1 for its one class (its rows sum to 1): the scores mean nothing"),
    ],
)
def test_one_class_is_a_logit_or_its_sigmoid(
    tmp_path: Path, ending: Ending, right: Callable[[Scores], Scores], words: str
) -> None:
    got, answers = classified(classifier(tmp_path / "net.onnx", ending, classes=1))
    np.testing.assert_allclose(got, right(logits_of(tmp_path, classes=1)), rtol=0, atol=1e-6)
    assert words in (answers.recipe.assumed or "")


def test_logits_that_happen_to_lie_between_0_and_1_are_logits(tmp_path: Path) -> None:
    got, answers = classified(classifier(tmp_path / "net.onnx", [node("Identity", "x", "y")], shift=0.5, scale=0.01))
    want = logits_of(tmp_path, shift=0.5, scale=0.01)
    assert 0 < want.min() < want.max() < 1
    np.testing.assert_allclose(got, softmax(want), rtol=0, atol=1e-6)
    assert "logits" in (answers.recipe.assumed or "")


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (CLASS_NUMBER, "ends in ArgMax"),
        ([node("TopK", "x five", "y i")], "ends in TopK"),
        ([SOFTMAX, node("TopK", "p five", "y i")], "ends in TopK"),
        (OVER_THE_BATCH, r"Softmax does not run over the classes: a row sums to 7, expected 1"),
        ([node("LogSoftmax", "x", "y", axis=0)], r"LogSoftmax does not run over the classes"),
    ],
)
def test_what_gives_no_score_for_each_class_is_refused(tmp_path: Path, ending: Ending, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        jobs.predict(classifier(tmp_path / "net.onnx", ending), PICTURE)


class Compiled(Runner):
    """Stands for an OM: values and no graph."""

    def __init__(self, head: Callable[[Scores], Scores], classes: int) -> None:
        self.name = self.where = "a compiled file"
        self.inputs = (TensorSpec("image", "float32", (2, 3, 8, 8)),)
        self.outputs = (TensorSpec("y", "float16", (2, classes)),)
        self.head, self.matrix = head, np.random.default_rng(1).standard_normal((192, classes)) / 4

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        logits = np.asarray(feeds["image"], np.float64).reshape(2, -1) @ self.matrix
        return {"y": np.stack([self.head(row) for row in logits]).astype(np.float16)}


@pytest.mark.parametrize(
    ("head", "classes", "way", "words"),
    [
        (np.positive, 1000, "softmax", "logits"),
        (softmax, 2, "as they are", "probabilities"),
        (softmax, 1000, "as they are", "probabilities"),  # a thousand roundings to fp16
        (lambda x: np.log(softmax(x / 9)), 1000, "exp", "logarithms of probabilities"),
        (lambda x: softmax(x * 0), 1000, "as they are", "probabilities"),  # 1/1000 is not fp16's: 4e-5 off each way
        (lambda x: np.log(softmax(x * 0)), 1000, "exp", "logarithms of probabilities"),  # each rounded the same way
        (sigmoid, 10, "as they are", "a score for each class by itself"),
        (sigmoid, 1, "as they are", "the probability of its one class"),
        (np.positive, 1, ONE_LOGIT.way, ONE_LOGIT.words),
        (lambda x: x * np.nan, 10, "softmax", "logits"),
        (lambda x: 100 * softmax(x), 10, "as they are", "probabilities times 100"),
        (lambda x: -np.log(softmax(x / 9)), 1000, "exp", "negative logarithms of probabilities"),
        (lambda x: 1 - softmax(x), 10, "as they are", "1 minus probabilities"),
        (lambda x: np.eye(len(x))[x.argmax()], 10, "as they are", "1 for one class and 0 for every other"),
        # What may be logits, and may not, gets no percentages.
        (np.tanh, 10, "as they are", "scores as they are: the values are between -1 and 1 on noise"),
        (lambda x: np.maximum(x, 0), 10, "as they are", "scores as they are: the values are between 0 and"),
        (lambda x: np.log(sigmoid(x)), 10, "as they are", "scores as they are"),
        (lambda x: 100 * sigmoid(x), 10, "as they are", "scores as they are"),
    ],
)
def test_without_a_graph_the_values_tell(
    tmp_path: Path, head: Callable[[Scores], Scores], classes: int, way: str, words: str
) -> None:
    answers = answers_of(tmp_path / "net.om", Compiled(head, classes))
    assert answers.way == way
    assert words in answers.words


def test_a_probability_that_fp16_rounds_to_nothing_is_0(tmp_path: Path) -> None:
    path = classifier(tmp_path / "net.onnx", [SOFTMAX, node("Log", "p", "y")], scale=100)
    got, _ = classified(path)
    assert got.min() == 0
    assert got.sum() == pytest.approx(1, abs=1e-6)
