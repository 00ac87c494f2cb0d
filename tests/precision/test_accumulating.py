"""fp16 partial sums against a plain loop in numpy's own float16; an overflow inside a product is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.precision.accumulating import accumulated
from neonext_ascend.precision.half import OVERFLOWS
from neonext_ascend.precision.halved import halved
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.steps import Steps

RANDOM = np.random.RandomState(0)


# Sixteen terms are 32,000: the third step passes 65504. Saturated it comes down by as much as went up; infinity stays.
PEAK = {"saturate": 97504.0, "ieee": float("inf")}


def steps_of(operator: str, *shapes: tuple[int, ...], **attributes: Any) -> tuple[Steps, list[Any]]:
    """A graph of one node that reads its operands as inputs; and operands that fp16 holds."""
    names = [f"i{number}" for number in range(len(shapes))]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, shapes, strict=True)]
    node = helper.make_node(operator, names, ["y"], "node", **attributes)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "g", infos, [result]), opset_imports=[OPSET], ir_version=8)
    return Steps(model), [RANDOM.standard_normal(shape).astype(np.float16).astype(np.float32) for shape in shapes]


OPSET = helper.make_opsetid("", 17)
f16 = np.float16


def summed(steps: Steps, operands: list[Any]) -> tuple[Any, float]:
    """The one node's results."""
    return accumulated(steps, steps.steps[0], operands, "ieee")


def by_loop(left: Any, right: Any) -> Any:
    """``left @ right`` with a sum in float16 that sixteen products at a time are added to."""
    total = np.zeros((left.shape[0], right.shape[1]), f16)
    for start in range(0, left.shape[1], 16):
        part = (left[:, start : start + 16, None].astype(np.float64) * right[None, start : start + 16]).sum(1)
        total = (total.astype(np.float64) + part).astype(f16)
    return total


@pytest.mark.parametrize("terms", [16, 40, 333])
def test_a_product_is_summed_as_by_a_loop(terms: int) -> None:
    steps, (left, right) = steps_of("MatMul", (3, terms), (terms, 5))
    (got,), _ = summed(steps, [left, right])
    want = by_loop(left, right)
    # fp32 inside sixteen terms may fall to the other side of a tie: one step of fp16 at most, and mostly none.
    np.testing.assert_allclose(got, want, rtol=2**-10, atol=2**-10)
    assert (got == want).mean() > 0.8
    assert not np.array_equal(got, left @ right)


def test_gemm_and_convolution_are_the_same_product_in_other_words() -> None:
    plain, (left, right) = steps_of("MatMul", (3, 64), (64, 5))
    (want,), _ = summed(plain, [left, right])
    gemm, _ = steps_of("Gemm", (3, 64), (5, 64), (5,), transB=1, alpha=1.0)
    bias = np.arange(5, dtype=np.float32)
    (got,), _ = summed(gemm, [left, right.T.copy(), bias])
    np.testing.assert_array_equal(got, want + bias)
    conv, _ = steps_of("Conv", (1, 64, 3, 1), (5, 64, 1, 1), (5,))
    x = left.T.reshape(1, 64, 3, 1)
    (maps,), _ = summed(conv, [x, right.T.reshape(5, 64, 1, 1), bias])
    np.testing.assert_allclose(maps[0, :, :, 0].T, want + bias, rtol=2**-10, atol=2**-10)


def test_an_overflow_of_a_partial_sum_that_comes_back_is_found() -> None:
    # 64 terms of 2,000 and 64 of -2,000: the sum is 0, half way it is 128,000.
    held = numpy_helper.from_array(np.repeat([[2000.0], [-2000.0]], 64, 0).astype(np.float32), "w")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 128])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "sum")
    steps = Steps(helper.make_model(helper.make_graph([node], "g", [value], [result], [held]), opset_imports=[OPSET]))
    feeds = {"x": np.ones((1, 128), np.float32)}
    assert all(report.passed for report in halved(steps, feeds))
    for report in halved(steps, feeds, OVERFLOWS, HalfMode(accumulation="fp16")):
        (alarm,) = report.alarms
        assert (alarm.node, alarm.kind, alarm.value) == ("sum", "overflow", PEAK[report.overflow])


def test_verify_takes_it_as_an_option(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", dtype="fp16", output=tmp_path).onnx
    plain, summed = (jobs.verify(made.path, accumulation=dtype).verdict.half for dtype in ("fp32", "fp16"))
    assert [verdict.accumulation for verdict in summed] == ["fp16", "fp16"]
    for one, other in zip(plain, summed, strict=True):
        assert one.passed
        assert other.passed
        assert other.comparison.max_rel > one.comparison.max_rel
    assert onnx.load(str(made.path)).graph.node
    # An fp32 file is not computed in fp16 at all, and that is said.
    fp32 = jobs.export("neonext_nano", output=tmp_path).onnx.path
    assert jobs.verify(fp32).warnings == ()
    (warning,) = jobs.verify(fp32, accumulation="fp16").warnings
    assert "neonext_nano-96-b1-fp32.onnx is fp32 and was not computed in fp16" in warning


def test_a_value_times_itself_is_summed_too() -> None:
    value, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [32, 32]) for name in "xy")
    node = helper.make_node("MatMul", ["x", "x"], ["y"], "square")
    steps = Steps(helper.make_model(helper.make_graph([node], "g", [value], [result]), opset_imports=[OPSET]))
    x = np.random.RandomState(0).standard_normal((32, 32)).astype(np.float32)
    (got,), _ = accumulated(steps, steps.steps[0], [x], "ieee")
    np.testing.assert_allclose(np.asarray(got, np.float32), x @ x, rtol=2**-9, atol=2**-8)
