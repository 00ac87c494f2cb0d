"""What the pre-check says of deploy forms, ours and strangers', and of QDQ: each fault with its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from neonext_ascend.cli.main import run
from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx
from neonext_ascend.exporters.int8.deploy import deploy_model
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.machine.chips import find_soc
from tests.support.atc_cases import deployed, model, op, packed, step, tensor
from tests.support.int8_graphs import decide, every_kind

QUANT = step("AscendQuant", "x", "q", scale=1.0, offset=0.0)
MATMUL, DEQUANT = step("MatMul", "q w", "sums"), op("AscendDequant", "sums", "s", dtype=1)
WHOLE, SCALE = tensor("w", 4, 4, dtype=np.int8), packed(1.0)


def one(*nodes: onnx.NodeProto, constants: Any = (WHOLE, SCALE), **more: Any) -> ModelProto:
    return model(*nodes, constants=constants, **more)


def convolution(*scales: float) -> ModelProto:
    nodes = (QUANT, step("Conv", "q w", "sums"), DEQUANT)
    return one(*nodes, constants=[tensor("w", 3, 2, 1, 1, dtype=np.int8), packed(*scales)], shape=(1, 2, 4, 4))


def added(dtype: Any) -> ModelProto:
    nodes = (QUANT, MATMUL, step("Add", "b sums", "added"), op("AscendDequant", "added", "s", dtype=1))
    return one(*nodes, constants=[WHOLE, SCALE, tensor("b", 4, dtype=dtype)])


FAULTS: dict[str, tuple[Callable[[], ModelProto], str, str]] = {
    "an fp16 weight": (
        lambda: one(QUANT, MATMUL, DEQUANT, constants=[tensor("w", 4, 4), SCALE]),
        "sums",
        "MatMul multiplies int8 with FLOAT16; expected an INT8 constant",
    ),
    "an fp32 bias": (lambda: deployed(bias=np.float32), "sums", "Gemm adds FLOAT to products of int8; expected INT32"),
    "an fp16 bias behind": (lambda: added(np.float16), "sums", "sums in int32 meet FLOAT16 in added; expected INT32"),
    "no dequantisation": (
        lambda: one(QUANT, MATMUL, op("Relu", "sums")),
        "sums",
        "sums in int32 go to the_Relu, Relu; expected",
    ),
    "nothing summed": (
        lambda: one(QUANT, op("AscendDequant", "q", "s", dtype=1)),
        "the_AscendDequant",
        "reads what no product of int8 gives",
    ),
    "float scales": (
        lambda: one(QUANT, MATMUL, DEQUANT, constants=[WHOLE, tensor("s", 1, dtype=np.float32)]),
        "the_AscendDequant",
        "reads scales in FLOAT, 1 axes; expected UINT64 in one",
    ),
    "a scale without an axis": (
        lambda: one(QUANT, MATMUL, DEQUANT, constants=[WHOLE, tensor("s", dtype=np.uint64)]),
        "the_AscendDequant",
        "0 axes",
    ),
    "four scales of a Gemm": (
        lambda: deployed(scales=[1.0] * 4),
        "the_AscendDequant",
        "has 4 scales behind a Gemm; expected 1",
    ),
    "two scales of three channels": (
        lambda: convolution(1, 1),
        "the_AscendDequant",
        "has 2 scales behind a Conv; expected 1 or 3",
    ),
    "int4": (
        lambda: one(step("AscendQuant", "x", "q", scale=1.0, dst_type="INT4"), MATMUL, DEQUANT),
        "q",
        "the dst_type INT4; expected INT8",
    ),
    "no scale": (
        lambda: one(step("AscendQuant", "x", "q"), MATMUL, DEQUANT),
        "q",
        "AscendQuant has no scale, which is taken for 0",
    ),
    "a negative scale": (lambda: deployed(scale=-0.5), "q", "AscendQuant has the scale -0.5"),
    "an infinite scale": (lambda: deployed(scale=float("inf")), "q", "AscendQuant has the scale inf"),
    "no number to multiply with": (
        lambda: convolution(1, float("nan"), 1),
        "the_AscendDequant",
        "AscendDequant has the scale nan in its parameter",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_each_fault_of_a_deploy_form_is_named(what: str, tmp_path: Path) -> None:
    made, node, words = FAULTS[what]
    onnx.save(made(), tmp_path / "it.onnx")
    found = inspect_onnx(tmp_path / "it.onnx", find_soc("Ascend910B3"))
    (error,) = (one for one in found.findings if one.severity == "error")
    assert (error.node, words in error.message) == (node, True), error.message
    assert "--format deploy" in error.remedy


@pytest.mark.parametrize(
    "made", [lambda: convolution(1, 2, 3), lambda: convolution(1), lambda: added(np.int32), deployed]
)
def test_whole_forms_pass_on_every_chip(made: Callable[[], ModelProto], tmp_path: Path) -> None:
    onnx.save(made(), tmp_path / "it.onnx")
    for soc in ("Ascend310P3", "Ascend310B1", "Ascend910B3", "Ascend910_9362"):
        found = inspect_onnx(tmp_path / "it.onnx", find_soc(soc), "origin").findings
        assert [one.rule for one in found] == ([] if soc.startswith("Ascend910") else ["int8-chip"])


def test_float32_behind_a_product_is_for_other_chips_than_910b(tmp_path: Path) -> None:
    onnx.save(deployed(dtype=0), tmp_path / "it.onnx")
    assert [one.rule for one in inspect_onnx(tmp_path / "it.onnx", find_soc("Ascend910_9362"), "origin").findings] == []
    (found,) = inspect_onnx(tmp_path / "it.onnx", find_soc("Ascend910B3"), "origin").findings
    assert found.rule == "int8-dequant-fp32"


def test_our_deploy_form_is_taken_and_our_qdq_is_told_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = decide(every_kind())
    onnx.save(deploy_model(made.model, made.decision), tmp_path / "deploy.onnx")
    onnx.save(qdq_model(made.model, made.decision), tmp_path / "qdq.onnx")
    for soc in ("Ascend310P3", "Ascend910B3"):
        assert run(["inspect", str(tmp_path / "deploy.onnx"), "--soc-version", soc]) == 0
        assert "0 errors" in capfd.readouterr().out
    assert run(["inspect", str(tmp_path / "qdq.onnx"), "--soc-version", "Ascend310P3"]) == 1
    out = " ".join(capfd.readouterr().out.split())
    assert "no plugin is known to parse QuantizeLinear" in out
    assert "neonext-ascend export --dtype int8 --format deploy --calibration FOLDER" in out
