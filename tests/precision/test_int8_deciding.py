"""Which products are int8, with what numbers; balancing; a network made hard on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from neonext_ascend.errors import ArtifactError, ParityError, UsageError
from neonext_ascend.exporters.int8.decision import Kept
from neonext_ascend.exporters.int8.eligible import LEFT, NEOCELL
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.precision.int8.balancing import balance, balances
from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.collecting import collected
from neonext_ascend.precision.int8.deciding import Settings
from neonext_ascend.precision.int8.quantising import quantised
from neonext_ascend.precision.int8.sensitivity import Outputs, agreement, answers, fewest, sensitivities
from tests.support.int8_graphs import decide, drawn, every_kind, graph, inputs, named

PLAIN = Settings("minmax", balance=False, correct_bias=False)


def one_of(outputs: Outputs) -> NDArray[np.float64]:
    (value,) = outputs.values()
    return value


def test_scales_and_integers_by_hand() -> None:
    model = every_kind()
    decision = decide(model, PLAIN).decision
    assert named(decision) == ["c1", "c2", "p", "g1", "g2"]
    assert decision.kept == ()
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first, _, product, gemm, _ = decision.layers
    largest = max(float(np.abs(one).max()) for one in inputs(model))
    assert first.scale_d == np.float32(largest / 127)
    for channel in range(6):
        scale = np.float32(np.abs(held["w1"][channel]).max()) / np.float32(127)
        assert first.scale_w[channel] == scale
        assert (first.weight[channel] == np.rint(held["w1"][channel] / scale)).all()
        assert first.bias is not None
        assert first.bias[channel] == np.rint(float(held["b1"][channel]) / float(scale * first.scale_d))
    assert np.abs(first.weight).reshape(6, -1).max(1).tolist() == [127] * 6
    assert (len(product.scale_w), len(gemm.scale_w)) == (1, 1)
    assert (product.adder, product.bias_name) == ("a", "b3")


STAYS: dict[str, tuple[Any, dict[str, Any], tuple[int, ...], str]] = {
    "a NeoCell": ([("MatMul", ["x", "w"], "y", {})], {"w": drawn(4, 6, 6)}, (1, 4, 6, 6), NEOCELL),
    "a constant on the left": ([("MatMul", ["w", "x"], "y", {})], {"w": drawn(3, 6)}, (1, 4, 6, 6), LEFT),
    "a 1-D weight": ([("MatMul", ["x", "w"], "y", {})], {"w": drawn(6)}, (4, 6), "its constant has 1 axes"),
    "alpha": ([("Gemm", ["x", "w"], "y", {"alpha": 2.0})], {"w": drawn(6, 3)}, (4, 6), "a Gemm with transA, alpha"),
    "not a number": ([("MatMul", ["x", "w"], "y", {})], {"w": drawn(6, 3) * np.float32("nan")}, (4, 6), "no number"),
    "one weight for two, whose copies' names are taken": (
        [("MatMul", ["x", "w"], "a", {}), ("MatMul", ["a", "w"], "y", {})],
        {"w": drawn(6, 6), "w.a": drawn(1), "w.y": drawn(1)}, (4, 6), "another node reads its constants too",
    ),
    "an input of zeros": (
        [("Mul", ["x", "zero"], "z", {}), ("MatMul", ["z", "w"], "y", {})],
        {"w": drawn(6, 3), "zero": np.float32(0)}, (4, 6), "its input was 0 on every",
    ),
    "a huge bias": (
        [("Mul", ["x", "small"], "z", {}), ("Gemm", ["z", "w", "b"], "y", {})],
        {"w": drawn(6, 3), "small": np.float32(1e-9), "b": drawn(3)}, (4, 6), "int32 does not hold its bias",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", STAYS)
def test_what_stays_says_why(why: str) -> None:
    nodes, constants, shape, words = STAYS[why]
    model = graph(nodes, {name: np.asarray(value, np.float32) for name, value in constants.items()}, shape)
    graph_of = Graph(model)
    found = list(graph_of.products())
    if not any(isinstance(one, Candidate) for one in found):
        with pytest.raises(UsageError, match="no product of this graph can be int8"):
            decide(model, PLAIN)
        assert any(isinstance(one, Kept) and words in one.reason for one in found)
        return
    assert [one for one in decide(model, PLAIN).decision.kept if words in one.reason]


def test_a_value_that_is_no_number_is_an_error() -> None:
    model = graph([("Log", ["x"], "l", {}), ("MatMul", ["l", "w"], "y", {})], {"w": drawn(6, 3)}, (4, 6))
    with pytest.raises(ArtifactError, match="l: holds what is no number on the calibration pictures"):
        decide(model, PLAIN)


@pytest.mark.parametrize("layer", ["c2", "g1"])  # without a bias of its own, and with one
def test_a_corrected_bias_takes_the_mean_error_away(layer: str) -> None:
    model = every_kind()
    data = [one + np.float32(2) for one in inputs(model, 32)]  # of a mean that matters
    errors = {}
    for correct in (False, True):
        found = quantised(model, lambda: data, Settings("minmax", balance=False, correct_bias=correct))
        whole = qdq_model(found.model, found.decision.only({layer}))
        errors[correct] = np.abs((one_of(answers(whole, data)) - one_of(answers(model, data))).mean(0)).mean()
    assert errors[True] < 0.75 * errors[False]  # rounding of the input is left


def hard() -> ModelProto:
    """Two Convs with a Relu between; one channel between them a thousand times larger."""
    w1, w2 = drawn(8, 3, 1, 1, seed=1), drawn(5, 8, 1, 1, seed=2)
    w1[3] *= 1000
    w2[:, 3] /= 1000
    nodes = [
        ("Conv", ["x", "w1", "b1"], "c1", {"kernel_shape": [1, 1]}),
        ("Relu", ["c1"], "r", {}),
        ("Conv", ["r", "w2"], "c2", {"kernel_shape": [1, 1]}),
        ("GlobalAveragePool", ["c2"], "y", {}),
    ]
    return graph(nodes, {"w1": w1, "b1": drawn(8, seed=3), "w2": w2}, (1, 3, 8, 8))


def test_one_channel_a_thousand_times_larger_ruins_minmax_and_balancing_saves_it() -> None:
    model = hard()
    data = inputs(model, 64)
    want = answers(model, data)
    found = {}
    for even in (False, True):
        made = quantised(model, lambda: data, Settings("minmax", balance=even))
        found[even] = agreement(answers(qdq_model(made.model, made.decision), data), want)
        assert made.balanced == ({"r": made.balanced["r"]} if even else {})
    assert found[False].cosine < 0.5
    assert found[True].least > 0.99


RUINED: dict[str, Any] = {
    "Gemm, last channel": (
        [("Gemm", ["x", "w1", "b1"], "a", {}), ("Relu", ["a"], "r", {}), ("Gemm", ["r", "w2"], "y", {"transB": 1})],
        {"w1": drawn(6, 8, seed=1), "w2": drawn(5, 8, seed=2)}, 7, 1e4, (4, 6), (1, 1),
    ),
    "MatMul and Add, first channel": (
        [("MatMul", ["x", "w1"], "m", {}), ("Add", ["b1", "m"], "a", {}), ("MatMul", ["a", "w2"], "y", {})],
        {"w1": drawn(6, 8, seed=3), "w2": drawn(8, 5, seed=4)}, 0, 300.0, (2, 3, 6), (1, 0),
    ),
    "Conv without Relu, a small channel": (
        [
            ("Conv", ["x", "w1", "b1"], "c", {"pads": [1, 1, 1, 1]}), ("Conv", ["c", "w2"], "d", {}),
            ("GlobalAveragePool", ["d"], "y", {}),
        ],
        {"w1": drawn(8, 3, 3, 3, seed=5), "w2": drawn(5, 8, 1, 1, seed=6)}, 4, 1e3, (1, 3, 8, 8), (0, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", RUINED)
def test_other_ruins_are_saved_too(how: str) -> None:
    nodes, constants, channel, factor, shape, (outputs, inputs_axis) = RUINED[how]
    held = {name: value.copy() for name, value in constants.items()} | {"b1": drawn(8, seed=9)}
    np.moveaxis(held["w1"], outputs, 0)[channel] *= factor
    held["b1"][channel] *= factor
    np.moveaxis(held["w2"], inputs_axis, 0)[channel] /= factor
    model = graph(nodes, held, shape)
    data = inputs(model, 64)
    want, found = answers(model, data), {}
    for even in (False, True):
        made = quantised(model, lambda: data, Settings("minmax", balance=even))
        found[even] = agreement(answers(qdq_model(made.model, made.decision), data), want)
    assert found[False].cosine < 0.9
    assert found[True].least > 0.99


def test_a_product_along_another_axis_than_its_makers_is_left_as_it_is() -> None:
    """A MatMul over the last axis of a Conv's map, which has as many columns as channels."""
    nodes: list[Any] = [("Conv", ["x", "w1"], "c", {}), ("MatMul", ["c", "w2"], "y", {})]
    model = graph(nodes, {"w1": drawn(8, 3, 1, 1) * np.float32(50), "w2": drawn(8, 5, seed=1)}, (1, 3, 4, 8))
    made = quantised(model, lambda: inputs(model, 8), Settings("minmax"))
    assert made.balanced == {}
    for array in inputs(model, 2):
        assert (one_of(answers(model, [array])) == one_of(answers(made.model, [array]))).all()


def test_balancing_is_exact() -> None:
    model = hard()
    whole = Graph(model)
    candidates = [one for one in whole.products() if isinstance(one, Candidate)]
    moved = balances(whole, collected(whole.model, candidates, inputs(whole.model)))
    (one,) = moved
    assert one.makers == {"w1": 0, "b1": 0}
    assert one.readers == {"w2": 1}
    assert one.exponents[3] - int(np.median(one.exponents)) >= 9  # half of log2 of a million, less what the draw has
    even = balance(whole, moved)
    for name, axis, sign in (("w1", 0, -1), ("b1", 0, -1), ("w2", 1, 1)):
        factors = np.ldexp(np.float32(1), sign * one.exponents)
        shape = [1] * even.array(name).ndim
        shape[axis] = -1
        assert (even.array(name) == whole.array(name) * factors.reshape(shape)).all()
    for array in inputs(whole.model):
        assert (one_of(answers(whole.model, [array])) == one_of(answers(even.model, [array]))).all()


def test_sensitivity_names_the_layer_that_ruins_it_and_bisection_keeps_no_other() -> None:
    model = hard()
    data = inputs(model, 32)
    made = quantised(model, lambda: data, Settings("minmax", balance=False))
    costs = sensitivities(made.model, made.decision, lambda: data)
    assert list(costs) == ["c1", "c2"]
    assert costs["c2"] > 100 * costs["c1"]
    want = answers(made.model, data)

    def passes(names: list[str]) -> bool:
        kept = made.decision.keeping(names, "costs accuracy")
        return agreement(answers(qdq_model(made.model, kept), data), want).least > 0.99

    assert fewest(list(costs)[::-1], passes) == ["c2"]
    assert made.decision.keeping(["c2"], "costs accuracy").reasons == {"costs accuracy": ["c2"]}


def test_bisection_asks_few_and_finds_the_shortest() -> None:
    names = [str(number) for number in range(100)]
    for needed in (1, 2, 37, 99, 100):
        asked: list[int] = []

        def passes(kept: list[str], needed: int = needed, asked: list[int] = asked) -> bool:
            asked.append(len(kept))
            return len(kept) >= needed

        assert fewest(names, passes) == names[:needed]
        assert len(asked) <= 8
    assert fewest(names, lambda _: False) is None


def test_every_output_counts() -> None:
    good, bad, zero = np.ones((2, 3, 4)), np.ones((2, 5)), np.zeros((2, 3, 4))
    assert agreement({"a": good, "b": -bad}, {"a": good, "b": bad}).least == pytest.approx(-1.0)
    assert (agreement({"a": zero}, {"a": zero}).least, agreement({"a": good}, {"a": zero}).least) == (1.0, 0.0)
    assert agreement({"a": good}, {"a": good}).top1 is None  # of maps no class is told
    assert agreement({"a": good, "b": bad}, {"a": good, "b": bad}).top1 == 1.0
    for got, want, error in ((np.nan, 1.0, ParityError), (1.0, np.nan, ArtifactError), (np.inf, np.inf, ArtifactError)):
        with pytest.raises(error, match="y: holds what is no number"):
            agreement({"y": np.full((1, 2), got)}, {"y": np.full((1, 2), want)})


def test_two_outputs_are_two_answers() -> None:
    model = graph([("Relu", ["x"], "a", {}), ("MatMul", ["x", "w"], "y", {})], {"w": drawn(6, 3)}, (4, 6))
    model.graph.output.insert(0, onnx.ValueInfoProto(name="a"))
    made = decide(model)
    got, want = (answers(one, inputs(model)) for one in (qdq_model(made.model, made.decision), model))
    assert {name: value.shape for name, value in got.items()} == {"a": (32, 6), "y": (32, 3)}
    assert agreement(got, want).least < 1.0
    assert sensitivities(made.model, made.decision, lambda: inputs(model))["y"] > 0.0
