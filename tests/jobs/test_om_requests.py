"""What can be asked of an OM beside its numbers, and how each request fails; on a machine made of stand-ins."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.feeds import noise
from tests.standins import acl
from tests.standins.toolkit import make_toolkit
from tests.support.om_commands import SOC, ask, export


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


def test_a_node_that_only_reshapes_is_not_kept_in_fp32(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", str(tmp_path / "out")]
    assert run([*wanted, "--layout", "chnw", "--keep-fp32", "stem.conv"]) == 2
    err = capfd.readouterr().err
    assert "a Reshape in neonext_nano-96-b1-fp32.onnx, which computes nothing" in err
    assert "stem.conv.weight_product, stem.conv.sum" in err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_the_layout_of_the_onnx_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = ["export", "neonext_t", "--format", "om", "--soc-version", SOC, "--dry-run", "-o", str(tmp_path)]
    plan = ask(capfd, *wanted, "--batch-gears", "1,8")["commands"][0]
    assert plan["layout"] == "nchw"
    assert "a tie within the estimate" in plan["layout_reason"]
    # kron has no form in chnw.
    plan = ask(capfd, *wanted, "--batch-gears", "1,8", "--lowering", "kron")["commands"][0]
    assert plan["layout"] == "nchw"
    assert run([*wanted, "--batch-size", "8"]) == 0
    assert "# layout nchw: " in capfd.readouterr().out


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
    deadline = time.monotonic() + 600
    while (not pids.exists() or len(pids.read_text().split()) < 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=900)
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


def test_an_om_whose_numbers_differ_on_the_device_does_not_appear(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # No rounding to fp16 is this exact.
    strict = replace(TOLERANCES["fp16"], max_relative=1e-9)
    monkeypatch.setattr("neonext_ascend.jobs.making.om_file.TOLERANCES", {"fp16": strict})
    wanted = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "-o", tmp_path / "o"]
    answer = ask(capfd, *wanted, code=1)
    assert answer["parity"]["passed"] is False
    assert [artifact["format"] for artifact in answer["artifacts"]] == ["onnx"]
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".json", ".onnx"]
    assert acl.leaks() == []


def test_an_om_whose_half_precision_overflows_on_the_chip_is_not_made(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = load("neonext_nano").network.state_dict()
    for name, factor in (("fc_1.weight", 5e4), ("fc_1.bias", 5e4), ("fc_2.weight", 2e-5)):
        state[f"stage_3.0.ops.content.{name}"] *= factor
    torch.save(state, tmp_path / "x.pt")
    wanted = ["export", "neonext_nano", "--checkpoint", tmp_path / "x.pt", "--format", "om", "--soc-version", SOC]
    answer = ask(capfd, *wanted, "-o", tmp_path / "o", code=1)
    assert [half["overflow"] for half in answer["parity"]["half"]] == ["saturate"]
    assert answer["parity"]["half"][0]["alarms"][0]["node"] == "stage3.block0.fc1"
    # The ONNX file is right, in fp32.
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".json", ".onnx"]
    # The layer kept in fp32, with what reads it, the chip has no cube for; in its own dtype nothing overflows.
    kept = ask(capfd, *wanted, "-o", tmp_path / "p", "--precision", "cube_fp16in_fp32out", code=1)
    assert kept["parity"]["half"][0]["alarms"][0]["node"].startswith("stage3.block0")


def test_verify_says_no_and_names_what_is_not_the_compiled_file(
    card: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om, _, _ = export(capfd, tmp_path / "nano", "neonext_nano")
    redrawn = load("neonext_nano").network
    redraw_at_order_one(redrawn, seed=3)
    torch.save(redrawn.state_dict(), tmp_path / "other.pt")
    other = ask(capfd, "export", "neonext_nano", "--checkpoint", tmp_path / "other.pt", "-o", tmp_path / "other")
    report = ask(capfd, "verify", om, "--against", other["artifacts"][0]["path"], code=1)
    assert report["parity"]["passed"] is False
    assert "not the ONNX file that was compiled" in report["warnings"][0]
