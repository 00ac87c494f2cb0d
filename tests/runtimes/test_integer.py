"""The integer reference: against loops, against ONNX Runtime's integer operators, against QDQ to the last integer."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from neonext_ascend import jobs
from neonext_ascend.errors import ArtifactError
from neonext_ascend.exporters.int8.deploy import deploy_model
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.jobs.int8.judging import integers
from neonext_ascend.precision.half import OVERFLOWS
from neonext_ascend.precision.int8.deciding import Settings
from neonext_ascend.precision.int8.quantising import Quantised
from neonext_ascend.precision.running import HalfRunner
from neonext_ascend.runtimes.integer import arithmetic
from neonext_ascend.runtimes.ort import session_of
from neonext_ascend.runtimes.registry import open_runner
from tests.support.int8_graphs import decide, drawn, every_kind, inputs

RNG = np.random.default_rng(0)


def whole(*shape: int) -> NDArray[np.int8]:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def test_a_worked_example() -> None:
    """By hand."""
    x = np.array([[[[0.5, -1.0], [2.0, 0.26]]]], np.float32)
    q = arithmetic.quantise(x, 1 / 0.02, 0.0)
    assert q.tolist() == [[[[25, -50], [100, 13]]]]
    sums = arithmetic.convolution(q, np.array([[[[127]]], [[[-64]]]], np.int8), [1, 1], [0] * 4, [1, 1], 1)
    sums = arithmetic.add(sums, np.array([1000, 0], np.int32).reshape(1, 2, 1, 1))
    assert sums.tolist() == [[[[4175, -5350], [13700, 2651]], [[-1600, 3200], [-6400, -832]]]]


def test_ties_go_to_even_and_ends_are_kept() -> None:
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 200, -200], np.float32)
    assert arithmetic.quantise(x, 1.0, 0.0).tolist() == [0, 2, 2, 0, -2, 127, -128]


def test_a_scale_is_the_low_half_of_a_word() -> None:
    word = np.array([0x3F000000 | 7 << 32], np.uint64)  # 0.5, and what the high half may hold
    assert arithmetic.dequantise(np.array([[3, -5]], np.int32), word, -1).tolist() == [[1.5, -2.5]]


CONVOLUTIONS = {
    "plain": ((2, 3, 5, 6), (4, 3, 2, 3), [1, 1], [0, 0, 0, 0], [1, 1], 1),
    "strides and pads": ((1, 2, 7, 8), (3, 2, 3, 3), [2, 3], [1, 0, 2, 1], [1, 1], 1),
    "dilations and groups": ((1, 4, 6, 7), (6, 2, 2, 2), [1, 1], [0, 1, 0, 1], [2, 3], 2),
    "depthwise": ((1, 5, 4, 4), (5, 1, 3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 5),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_in_loops(kind: str) -> None:
    shape, kernel, strides, pads, dilations, groups = CONVOLUTIONS[kind]
    x, weight = whole(*shape), whole(*kernel)
    got = arithmetic.convolution(x, weight, strides, pads, dilations, groups)
    per, own = kernel[0] // groups, kernel[1]
    for n, o, i, j in itertools.product(*map(range, got.shape)):
        total = 0
        for c, r, s in itertools.product(range(own), range(kernel[2]), range(kernel[3])):
            row, column = i * strides[0] + r * dilations[0] - pads[0], j * strides[1] + s * dilations[1] - pads[1]
            if 0 <= row < shape[2] and 0 <= column < shape[3]:
                total += int(x[n, o // per * own + c, row, column]) * int(weight[o, c, r, s])
        assert got[n, o, i, j] == total


def test_sums_beyond_2_24_are_exact_and_beyond_int32_an_error() -> None:
    left, right = np.full((1, 4096), 127, np.int8), np.full((4096, 1), 127, np.int8)
    right[0] = 126
    assert arithmetic.product(left, right).item() == 4096 * 127 * 127 - 127
    with pytest.raises(ArtifactError, match="int32 does not hold it"):
        arithmetic.add(np.array([2**31 - 1], np.int32), np.array([1], np.int32))


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    return onnx.load(str(jobs.export("neonext_nano", output=tmp_path_factory.mktemp("n"), verify=False).onnx.path))


def pictures(model: ModelProto) -> list[NDArray[np.float32]]:
    return inputs(model, 4)


def saved(made: Quantised, folder: Path) -> tuple[Path, Path]:
    qdq, deploy = folder / "qdq.onnx", folder / "deploy.onnx"
    onnx.save(qdq_model(made.model, made.decision), qdq)
    onnx.save(deploy_model(made.model, made.decision), deploy)
    return qdq, deploy


@pytest.mark.parametrize("which", ["nano", "every kind"])
def test_it_is_onnx_runtimes_integer_operators_bit_for_bit(which: str, nano: ModelProto, tmp_path: Path) -> None:
    """The half runner computes the same file with ConvInteger and MatMulInteger, rounding what is between alike."""
    model = nano if which == "nano" else every_kind()
    _, deploy = saved(decide(model), tmp_path)
    for overflow in OVERFLOWS:
        with integers(deploy, overflow) as exact, HalfRunner(deploy, overflow) as twin:
            name = exact.inputs[0].name
            for array in pictures(model):
                (ours,), (theirs,) = (list(one.infer({name: array}).values()) for one in (exact, twin))
                assert np.abs(ours).max() > 0
                assert (ours == theirs).all()


def test_the_files_own_runner_takes_a_deploy_form(tmp_path: Path) -> None:
    model = every_kind()
    qdq, deploy = saved(decide(model), tmp_path)
    with open_runner(deploy) as ours, open_runner(qdq) as theirs:
        assert ours.where.endswith("on the CPU, int8 layers as its integer products")
        got, want = (next(iter(one.infer({"x": pictures(model)[0]}).values())).astype(float) for one in (ours, theirs))
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def test_qdq_computes_the_same_integers_but_for_ties(nano: ModelProto) -> None:
    """Layer by layer on the same input: the int8 of the input, and the int32 sums that QDQ's float32 stands for.

    QuantizeLinear divides by scale_d where AscendQuant multiplies by the float32 of 1 / scale_d: the two differ where
    x / scale_d lies within two roundings of half a step, and then by one. The sums differ by float32's rounding in
    QDQ, far below half an integer, so that rounding gives them back.
    """
    made = decide(nano, Settings("mse"))
    names = [f"{layer.name}.quant" for layer in made.decision.layers] + [layer.value for layer in made.decision.layers]
    names += [layer.name for layer in made.decision.layers]
    qdq = qdq_model(made.model, made.decision)
    for name in dict.fromkeys(names):
        if name not in {value.name for value in (*qdq.graph.output, *qdq.graph.input)}:
            qdq.graph.output.add(name=name)
    session = session_of(qdq.SerializeToString(), as_written=True)
    outputs = [value.name for value in session.get_outputs()]
    counts: Counter[str] = Counter()
    for array in pictures(nano):
        values: dict[str, Any] = dict(zip(outputs, session.run(outputs, {"image": array}), strict=True))
        values["image"] = array
        for layer in made.decision.layers:
            x, theirs = values[layer.value], values[f"{layer.name}.quant"]
            ours = arithmetic.quantise(x, float(layer.quantiser), 0.0)
            apart = ours.astype(int) - theirs
            counts["integers"] += apart.size
            counts["differing"] += int(np.count_nonzero(apart))
            assert np.abs(apart).max() <= 1
            near = np.abs(np.abs(x[apart != 0].astype(np.float64) / float(layer.scale_d)) % 1 - 0.5)
            assert (near < 128 * 2.0**-22).all()  # every difference is a tie but for two roundings
            if layer.operator == "Conv":
                told = {a.name: onnx.helper.get_attribute_value(a) for a in _node(nano, layer.name).attribute}
                sums = arithmetic.convolution(theirs, layer.weight, told["strides"], [0] * 4, [1, 1], 1)
                scale, bias = layer.scale.reshape(-1, 1, 1), layer.bias
                sums = arithmetic.add(sums, bias.reshape(-1, 1, 1)) if bias is not None else sums
            else:
                scale, sums = layer.scale, arithmetic.product(theirs, layer.weight.T)
                sums = arithmetic.add(sums, layer.bias) if layer.bias is not None else sums
            back = np.rint(values[layer.name].astype(np.float64) / scale)
            counts["sums"] += back.size
            counts["sums differing"] += int(np.count_nonzero(back != sums))
    assert counts["integers"] > 500_000
    assert counts["differing"] <= counts["integers"] * 1e-5
    assert counts["sums differing"] == 0


def _node(model: ModelProto, name: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in model.graph.node if node.name == name)
    return found


def test_what_is_no_deploy_form_is_refused(tmp_path: Path) -> None:
    onnx.save(every_kind(), tmp_path / "plain.onnx")
    with pytest.raises(ArtifactError, match="has no AscendQuant; expected the deploy form"):
        integers(tmp_path / "plain.onnx", "ieee")
    model = deploy_model(every_kind(), decide(every_kind(), Settings("minmax", balance=False)).decision)
    for node in model.graph.node:
        if node.op_type == "AscendDequant":
            node.attribute[0].i = 0
    onnx.save(model, tmp_path / "fp32.onnx")
    with integers(tmp_path / "fp32.onnx", "ieee") as runner, pytest.raises(ArtifactError, match="gives dtype 0"):
        runner.infer({"x": drawn(1, 4, 6, 7)})
