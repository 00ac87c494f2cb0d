"""From a network to an OM and its answers, on a machine made of stand-ins: the commands, as a person gives them.

The stand-in atc and the stand-in acl follow the documented contract; they are not the vendor's, and nothing here says
what a card does.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.exporters.atc_options import PRECISIONS
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import compare_logits
from neonext_ascend.verify.feeds import noise
from tests.standins import acl
from tests.standins.toolkit import make_toolkit

SOC = "Ascend310P3"


def ask(capfd: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """The JSON answer of a command."""
    capfd.readouterr()
    status = run([*map(str, arguments), "--json"])
    out, err = capfd.readouterr()
    assert status == code, err
    return json.loads(out)


def export(capfd: pytest.CaptureFixture[str], folder: Path, model: str, *more: object) -> tuple[Path, Path, Any]:
    """OM, ONNX file and the whole answer."""
    answer = ask(capfd, "export", model, "--format", "om", "--soc-version", SOC, "-o", folder, *more)
    om, onnx = answer["artifacts"]
    assert [om["format"], onnx["format"]] == ["om", "onnx"]
    return Path(om["path"]), Path(onnx["path"]), answer


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
    om, onnx, _ = export(capfd, tmp_path, "neonext_t", "--image-size", 96, "--aipp")
    assert ask(capfd, "verify", om, "--against", onnx)["parity"]["passed"]


def test_a_file_that_a_flag_names_reaches_atc_wherever_it_runs(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("op.ini").write_text("[ByOpType]\n")
    _, _, answer = export(capfd, tmp_path / "o", "neonext_nano", "--atc-arg", " --op_precision_mode=op.ini")
    assert "--op_precision_mode=op_precision_mode.ini" in answer["artifacts"][0]["compilation"]["flags"]


def test_what_is_said_of_an_om_that_was_not_checked(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", str(tmp_path)]
    assert run([*wanted, "--no-verify"]) == 0
    assert "of the OM: not checked (--no-verify)" in capfd.readouterr().out
    monkeypatch.delitem(sys.modules, "acl")
    assert run(wanted) == 0
    assert "not checked (pyACL, the module acl, is missing here)" in " ".join(capfd.readouterr().out.split())


def test_several_image_sizes_give_an_om_each(card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer = ask(
        capfd, "export", "neonext_nano", "--format", "om", "--soc-version", SOC, "--image-sizes", "96,128x96",
        "-o", tmp_path,
    )  # fmt: skip
    names = [Path(artifact["path"]).name for artifact in answer["artifacts"]]
    assert names == [
        f"neonext_nano-96-b1-fp16-{SOC}.om",
        "neonext_nano-96-b1-fp32.onnx",
        f"neonext_nano-128x96-b1-fp16-{SOC}.om",
        "neonext_nano-128x96-b1-fp32.onnx",
    ]


def test_nodes_kept_in_fp32_are_kept_and_recorded(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            [
                "export",
                "neonext_nano",
                "--format",
                "om",
                "--soc-version",
                SOC,
                "--keep-fp32",
                "nothing",
                "-o",
                str(tmp_path),
            ]
        )
        == 2
    )
    assert "has no such node" in capfd.readouterr().err
    import onnx as onnx_package

    _, onnx, _ = export(capfd, tmp_path / "a", "neonext_nano")
    nodes = [node.name for node in onnx_package.load(str(onnx)).graph.node]
    om, _, answer = export(capfd, tmp_path / "b", "neonext_nano", "--keep-fp32", ",".join(nodes))
    assert om.name == f"neonext_nano-96-b1-fp16-keep{len(nodes)}-{SOC}.om"
    assert answer["artifacts"][0]["compilation"]["keep_fp32"] == nodes
    feed = noise((1, 3, 96, 96), 7)
    with open_runner(om) as device, open_runner(onnx) as cpu:
        got, want = (r.infer({r.inputs[0].name: feed})[r.outputs[0].name] for r in (device, cpu))
    # Every node in fp32: only the order of sums differs.
    np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-5, atol=1e-5)


@pytest.mark.full_size
@pytest.mark.parametrize("model", ["neonext_t", "neonext_s", "neonext_b"])
def test_full_size_networks(model: str, card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    om, onnx, answer = export(capfd, tmp_path, model)
    assert answer["artifacts"][0]["trained"] is False
    report = ask(capfd, "verify", om, "--against", onnx)
    assert report["parity"]["passed"]
    assert ask(capfd, "predict", om, sample_pictures()[0])["predictions"][0]["top"]
    assert ask(capfd, "benchmark", om, "--repeats", 6)["artifacts"][0]["runs"] == 6
    assert acl.leaks() == []


def test_an_om_for_another_chip_or_a_newer_toolkit_is_refused_before_the_driver_is_touched(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    om, _, _ = export(capfd, tmp_path, "neonext_nano")
    for root, made in (("older", {"version": "8.3.RC1"}), ("other", {"chip": "910B3"})):
        environment = make_toolkit(tmp_path / root, **made)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        acl.reset()
        assert run(["verify", str(om)]) == 2
        err = capfd.readouterr().err
        assert made.get("chip", made.get("version", "")) in err
        assert acl.calls == []


def test_without_atc_there_are_two_ways_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", str(tmp_path / "out")]
    assert run(wanted) == 3
    err = capfd.readouterr().err
    assert "atc is missing" in err
    assert "--dry-run" in err
    assert "--bundle" in err
    assert not (tmp_path / "out").exists()
    plan = ask(capfd, *wanted, "--dry-run", "--aipp")["commands"][0]
    assert f"--insert_op_conf={tmp_path / 'out' / 'aipp.cfg'}" in plan["argv"]
    assert f"--soc_version={SOC}" in plan["argv"]
    assert "--precision_mode_v2=fp16" in plan["argv"]
    assert plan["environment"]["ASCEND_SLOG_PRINT_TO_STDOUT"] == "1"
    assert any("aipp_op" in text for text in plan["files"].values())
    assert not (tmp_path / "out").exists()


def test_a_wish_to_end_ends_atc_as_well(card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As docker stop does it: SIGTERM to the command alone, while atc hangs.
    pids = tmp_path / "pids"
    monkeypatch.setenv("STANDIN_ATC_PIDS", str(pids))
    monkeypatch.setenv("STANDIN_ATC_FAULT", "hang")
    command = [
        "export",
        "neonext_nano",
        "--no-verify",
        "--format",
        "om",
        "--soc-version",
        SOC,
        "-o",
        str(tmp_path / "o"),
    ]
    process = subprocess.Popen([sys.executable, "-m", "neonext_ascend", *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (not pids.exists() or len(pids.read_text().split()) < 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted" in err
    assert not [pid for pid in pids.read_text().split() if _runs(int(pid))]
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".json", ".onnx"]


def _runs(pid: int) -> bool:
    """Whether it is more than an entry that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
