"""Exports, OMs and verify judge by what half precision does to each node, not by the CPU's answers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper

from neonext_ascend import create, jobs
from neonext_ascend.cli.main import run
from neonext_ascend.jobs.making.onnx_file import ParityFailedError

STAGE = "stage_3.0.ops.content."


@pytest.fixture
def overflowing(tmp_path: Path) -> Path:
    """nano whose every weight fits, but one layer's result is beyond fp16; the next one hides it."""
    state = create("neonext_nano").state_dict()
    for name in ("fc_1.weight", "fc_1.bias"):
        state[STAGE + name] *= 5e4
    state[STAGE + "fc_2.weight"] /= 5e4
    torch.save(state, tmp_path / "overflowing.pt")
    return tmp_path / "overflowing.pt"


def test_an_fp16_export_that_overflows_inside_is_refused(overflowing: Path, tmp_path: Path) -> None:
    with pytest.raises(ParityFailedError) as caught:
        jobs.export("neonext_nano", checkpoint=overflowing, dtype="fp16", output=tmp_path / "out")
    verdict = caught.value.verdict
    assert verdict.artifact.passed  # the CPU's answers do not show it
    assert [half.report.overflow for half in verdict.half] == ["saturate", "ieee"]
    for half in verdict.half:
        (alarm,) = half.report.alarms
        assert (alarm.node, alarm.kind) == ("stage3.block0.fc1", "overflow")
        assert 1e5 < alarm.value < 1e6
    assert not (tmp_path / "out").exists()
    # In fp32 there is nothing to refuse.
    assert jobs.export("neonext_nano", checkpoint=overflowing, output=tmp_path / "out").onnx.verdict is not None


def test_the_command_names_node_and_value(overflowing: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "neonext_nano", "--checkpoint", str(overflowing), "--dtype", "fp16", "-o", str(tmp_path)]
    assert run(arguments) == 1
    told = " ".join(capfd.readouterr().err.split())
    assert "stage3.block0.fc1 overflows in fp16: 4.159e+05 is beyond 65504 (on pictures, batch 1)" in told
    assert "310P and 310B" in told
    assert "910B and A3" in told


def test_verify_judges_an_fp16_file_again(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", dtype="fp16", output=tmp_path).onnx
    assert made.verdict is not None
    assert [half.passed for half in made.verdict.half] == [True, True]
    assert all(half.passed for half in jobs.verify(made.path).verdict.half)
    model = onnx.load(str(made.path))
    for name, factor in (("fc1.weight", 2.0**13), ("fc1.bias", 2.0**13), ("fc2.weight", 2.0**-13)):
        (constant,) = (i for i in model.graph.initializer if i.name == f"stage3.block0.{name}")
        value = numpy_helper.to_array(constant).astype("float32") * factor
        constant.CopyFrom(numpy_helper.from_array(value.astype("float16"), constant.name))
    onnx.save(model, str(made.path))
    verdict = jobs.verify(made.path).verdict
    assert not verdict.passed
    assert {half.report.alarms[0].node for half in verdict.half} == {"stage3.block0.fc1"}


def test_an_fp32_export_is_not_judged_in_fp16(tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", output=tmp_path).onnx
    assert made.verdict is not None
    assert made.verdict.half == ()
    assert made.to_json()["parity"]["half"] == []
