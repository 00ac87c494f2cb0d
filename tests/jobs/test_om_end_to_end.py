"""From a network to an OM and its answers, on a machine made of stand-ins: the commands, as a person gives them.

The stand-in atc and the stand-in acl follow the documented contract; they are not the vendor's, and nothing here says
what a card does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.exporters.om_file.options import PRECISIONS
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import compare_logits
from neonext_ascend.verify.feeds import noise
from tests.standins import acl
from tests.support.om_commands import SOC, ask, export


def check_everything(capfd: pytest.CaptureFixture[str], om: Path, onnx: Path, gears: tuple[int, ...] = ()) -> None:
    """Verify in three ways, predict and benchmark; and the numbers, compared once more by hand."""
    for arguments in ([], ["--against", onnx]):
        report = ask(capfd, "verify", om, *arguments)
        assert report["parity"]["passed"]
        assert report["runtime"].startswith("pyACL")
        assert report["parity"]["cosine"] >= 0.9999
        if gears:
            assert [f["images"] for f in report["parity"]["feeds"]][: len(gears)] == list(gears)
    timed = ask(capfd, "benchmark", om, "--repeats", 6, *(["--batch-size", gears[-1]] if gears else []))
    assert timed["artifacts"][0]["runtime"].startswith("pyACL")
    assert timed["artifacts"][0]["threads"] is None
    assert timed["artifacts"][0]["dtype"] in PRECISIONS  # in which it computes, not what it is fed
    assert acl.leaks() == []


FORMS: dict[str, tuple[list[str], tuple[int, ...]]] = {
    "static": ([], ()),
    "gears": (["--batch-gears", "1,4"], (1, 4)),
    "aipp": (["--aipp"], ()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_nano_in_each_precision_and_form(
    precision: str, form: str, card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # "origin" keeps fp32, which the 310P's cube does not have: its ONNX file must be fp16.
    dtype = "fp16" if precision == "origin" else "fp32"
    more, gears = FORMS[form]
    om, onnx, answer = export(capfd, tmp_path, "neonext_nano", "--precision", precision, "--dtype", dtype, *more)
    assert om.name.startswith("neonext_nano-96-b1")
    assert om.name.endswith(f"-{SOC}.om")
    compiled = answer["artifacts"][0]["compilation"]
    assert compiled["precision"] == precision
    assert (compiled["aipp"], tuple(compiled["gears"])) == (form == "aipp", gears)
    assert f"--precision_mode_v2={precision}" in compiled["flags"]
    assert compiled["onnx"]["sha256"] == answer["artifacts"][1]["sha256"]
    check_everything(capfd, om, onnx, gears)
    found = ask(capfd, "predict", om, *sample_pictures()[:3])
    assert [p["top"][0]["label"] for p in found["predictions"]] == ["0", "1", "2"]


def test_nano_with_gears_predicts_batches_of_them(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om, onnx, _ = export(capfd, tmp_path, "neonext_nano", "--batch-gears", "1,2,4,8")
    assert om.name == f"neonext_nano-96-b1-2-4-8-fp16-{SOC}.om"
    check_everything(capfd, om, onnx, gears=(1, 2, 4, 8))
    answer = ask(capfd, "predict", om, *sample_pictures())
    assert [p["top"][0]["label"] for p in answer["predictions"]] == [str(d) for d in range(10)]
    assert run(["benchmark", str(om), "--batch-size", "3", "--repeats", "6"]) == 2
    assert "batch gears are 1, 2, 4, 8" in capfd.readouterr().err


def test_nano_with_aipp_takes_pixels(card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    om, onnx, answer = export(capfd, tmp_path, "neonext_nano", "--aipp")
    assert answer["artifacts"][0]["compilation"]["aipp"] is True
    check_everything(capfd, om, onnx)
    with open_runner(om) as runner:
        assert runner.inputs[0].dtype == "uint8"
        assert runner.inputs[0].shape == (1, 96, 96, 3)
    answer = ask(capfd, "predict", om, *sample_pictures())
    assert [p["top"][0]["label"] for p in answer["predictions"]] == [str(d) for d in range(10)]


def test_an_om_answers_as_its_onnx_file_within_half_precision_and_not_exactly(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om, onnx, _ = export(capfd, tmp_path, "neonext_nano")
    feed = noise((1, 3, 96, 96), 7)
    with open_runner(om) as device, open_runner(onnx) as cpu:
        got, want = (r.infer({r.inputs[0].name: feed})[r.outputs[0].name] for r in (device, cpu))
    result = compare_logits("noise", got, want, TOLERANCES["fp16"])
    assert result.passed
    # The stand-in rounds: were the two equal, nothing would have been rounded.
    assert result.max_abs > 0


def test_aipp_keeps_the_channels_apart(card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # ImageNet's mean and std differ by channel, neonext_nano's do not.
    om, onnx, _ = export(capfd, tmp_path, "neonext_t", "--image-size", 96, "--aipp", "--no-verify")
    assert ask(capfd, "verify", om, "--against", onnx)["parity"]["passed"]


@pytest.mark.full_size
# neonext_s has the widths of the one and the depths of the other, whose time goes into what 96 pixels have as well.
@pytest.mark.parametrize(("model", "more"), [("neonext_t", ()), ("neonext_b", ("--image-size", 96, "--no-verify"))])
def test_full_size_networks(
    model: str, more: tuple[object, ...], card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om, onnx, answer = export(capfd, tmp_path, model, *more)
    assert answer["artifacts"][0]["trained"] is False
    report = ask(capfd, "verify", om, "--against", onnx)
    assert report["parity"]["passed"]
    assert ask(capfd, "predict", om, sample_pictures()[0])["predictions"][0]["top"]
    assert acl.leaks() == []


@pytest.mark.parametrize(("form", "batches"), [(["--batch-gears", "1,4"], [1, 4]), (["--aipp"], [1])])
def test_an_om_of_maps(
    form: list[str], batches: list[int], card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om, onnx, _ = export(capfd, tmp_path, "neonext_nano", "--features", "--features-layout", "nhwc", *form)
    assert om.name.startswith("neonext_nano-features-nhwc-96-b1")
    for arguments in ([], ["--against", onnx]):
        report = ask(capfd, "verify", om, *arguments)
        assert report["parity"]["passed"]
        images = {feed["what"]: feed["images"] for feed in report["parity"]["feeds"]}
        assert [images[what] for what in images if what.startswith("stage2 of noise")] == batches
    assert acl.leaks() == []
    with open_runner(om) as runner:
        assert [spec.shape[1:] for spec in runner.outputs] == [(24, 24, 12), (12, 12, 24), (6, 6, 48), (3, 3, 96)]
