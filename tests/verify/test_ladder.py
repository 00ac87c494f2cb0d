"""The parity ladder and debug: each planted fault at its rung and node, by its cause; no alarm without a fault."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.checkpoints.loading import create
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, ToolchainError, UsageError
from neonext_ascend.exporters.om_file import command
from neonext_ascend.exporters.om_file.aipp import aipp_config
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.jobs.making.om_file import OmExport
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.reporting.ladder import ladder_lines
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.ladder import Climb, Flip, Ladder
from neonext_ascend.verify.subject import Subject
from tests.standins import torch_npu
from tests.support.faults import (
    CHECKPOINT,
    CONFIG,
    FAULTS,
    SIBLINGS,
    Fault,
    export,
    network,
    passes_allclose,
    preparation,
)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("right"))


@pytest.fixture
def path(right: Path, tmp_path: Path) -> Path:
    """A copy of the right file, for a fault."""
    for file in (right, manifest_path(right)):
        shutil.copy(file, tmp_path)
    return tmp_path / right.name


NAMES = ["pictures", "folded", "lowered", "onnx", "artifact", "fp16-saturate", "fp16-ieee"]


def names(ladder: Ladder) -> list[str]:
    return list(dict.fromkeys(rung.name for rung in ladder.rungs))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_the_ladder_names_rung_node_and_cause(fault: Fault, path: Path) -> None:
    fault.plant(path)
    found = jobs.ladder(path, checkpoint=CHECKPOINT)
    assert found.verdict is not None
    assert (found.verdict.rung, found.verdict.node) == (fault.rung, fault.node)
    assert fault.cause in found.verdict.cause
    assert found.verdict.remedy
    assert not found.passed
    assert passes_allclose(path) == fault.allclose


IN_THE_GRAPH = [fault for fault in (*FAULTS, *SIBLINGS) if fault.debug]


@pytest.mark.parametrize("fault", IN_THE_GRAPH, ids=[fault.name for fault in IN_THE_GRAPH])
def test_debug_names_node_and_cause(fault: Fault, path: Path) -> None:
    fault.plant(path)
    found = jobs.debug(path, checkpoint=CHECKPOINT)
    assert found.cause is not None
    assert found.cause.node == fault.node
    assert fault.cause in found.cause.what
    assert passes_allclose(path) == fault.allclose


FORMS: list[dict[str, Any]] = [
    {"lowering": "patchwise"},
    {"lowering": "packed", "layout": "chnw"},
    {"lowering": "kron"},
    {"dtype": "fp16"},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_fault_of_the_network_is_named_in_every_form_of_the_file(form: dict[str, Any], tmp_path: Path) -> None:
    made = jobs.export(CONFIG, checkpoint=CHECKPOINT, output=tmp_path, verify=False, **form).onnx.path
    for fault in (
        fault
        for fault in (*FAULTS, *SIBLINGS)
        if fault.name
        in (
            "wrong shift",
            "wrong epsilon",
            "a stale running variance",
            "a running mean of 0",
            "a BatchNorm's bias of 0",
        )
    ):
        fault.plant(made)
        found = jobs.debug(made, checkpoint=CHECKPOINT).cause
        assert found is not None
        assert found.node.startswith(fault.node.removesuffix(".left_product"))
        rounded = fault.cause.replace("0.001", "about 0.000991") if "dtype" in form else fault.cause
        assert rounded in found.what


@pytest.mark.parametrize(
    "form",
    [{}, {"layout": "chnw"}, {"lowering": "patchwise"}, {"dtype": "fp16"}, {"opset": 11}, {"batch_size": "dynamic"}],
    ids=str,
)
def test_a_right_file_raises_no_alarm(form: dict[str, object], tmp_path: Path) -> None:
    made = jobs.export(CONFIG, checkpoint=CHECKPOINT, output=tmp_path, **form).onnx  # type: ignore[arg-type] # by name
    found = jobs.ladder(made.path, checkpoint=CHECKPOINT)
    assert found.verdict is None
    assert found.passed
    assert names(found) == NAMES
    assert found.notes == ()
    assert found.control is not None
    assert found.control.passed
    # Written anew it is the same, to the bit.
    assert jobs.debug(made.path, checkpoint=CHECKPOINT).nodes[-1].relative == 0.0


def test_a_model_is_climbed_without_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--ladder", "neonext_nano", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [(rung["name"], rung["against"]) for rung in told["rungs"]] == [
        ("folded", "pytorch"),
        ("lowered", "folded"),
        ("lowered", "pytorch"),
        ("onnx", "lowered"),
        ("onnx", "pytorch"),
        ("fp16-saturate", "onnx"),
        ("fp16-saturate", "pytorch"),
        ("fp16-ieee", "onnx"),
        ("fp16-ieee", "pytorch"),
    ]
    contract = {"name", "against", "max_abs", "max_rel", "cosine", "top1", "top5", "flips", "passed"}
    assert all(contract <= rung.keys() for rung in told["rungs"])
    assert told["rungs"][-1]["smallest_passing"]["max_relative"] == pytest.approx(told["rungs"][-1]["max_rel"])
    assert told["verdict"] is None
    assert told["trained"]


def test_the_command_says_where_and_why(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    FAULTS[0].plant(path)
    assert run(["verify", "--ladder", str(path), "--checkpoint", str(CHECKPOINT), "--json"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["verdict"].keys() == {"rung", "node", "cause", "remedy"}
    assert "verdict  artifact fails at stage2.block1.neocell\n" in err
    assert "\ntry      write stage2.block1.neocell.right without a transpose" in err
    assert err.splitlines()[-1].startswith(f"error: {path}: artifact fails at stage2.block1.neocell: its matrix B")


def test_decisions_that_flip_are_told_with_their_margin() -> None:
    feed = Feed("pictures, batch 2", np.zeros((2, 3, 4, 4), np.float32), names=("cat.png", "dog.png"))
    climb = Climb([feed])
    climb.start("first", [{"logits": np.array([[1.0, 3.0, 2.5], [9.0, 0.0, 1.0]])}])
    second = [{"logits": np.array([[1.0, 2.0, 2.5], [9.0, 0.0, 1.0]])}]
    assert not climb.add("second", "here", second, TOLERANCES["fp16"])
    (rung,) = climb.rungs
    assert rung.flips == (Flip("cat.png", 1, 2, 0.5),)
    assert rung.to_json()["flips"] == [{"picture": "cat.png", "from": 1, "to": 2, "margin": 0.5}]
    assert rung.to_json()["top1"] == 0.5
    climb.start("lost", [{"logits": np.full((2, 3), np.nan)}])
    assert not climb.add("third", "here", second, TOLERANCES["fp16"])
    assert climb.rungs[-1].flips == ()  # where no number was, nothing was decided


def test_what_this_program_itself_does_wrong_is_found_at_its_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    import neonext_ascend.passes.fold_batchnorm as fold

    original = fold.affine

    def other_epsilon(norm: torch.nn.BatchNorm2d) -> object:
        wrong = torch.nn.BatchNorm2d(norm.num_features, eps=0.1)
        wrong.load_state_dict(norm.state_dict())
        return original(wrong)

    monkeypatch.setattr(fold, "affine", other_epsilon)
    found = jobs.ladder("neonext_nano")
    assert found.verdict is not None
    assert (found.verdict.rung, found.verdict.node) == ("folded", "stem.conv")
    assert "a bug here" in found.verdict.remedy


def test_a_wrong_emission_is_found_at_its_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    from neonext_ascend.exporters.onnx_file.graph import OnnxGraph

    monkeypatch.setattr(
        OnnxGraph, "scalar", lambda self, name, value, original=OnnxGraph.scalar: original(self, name, value * 1.1)
    )
    found = jobs.ladder("neonext_nano")
    assert found.verdict is not None
    assert (found.verdict.rung, found.verdict.node) == ("onnx", "stage1.block0.fc2")


def large(tmp_path: Path, of: NeoNeXt) -> Path:
    """A checkpoint whose fc_1 fp16 cannot hold, though it holds every weight."""
    state = of.state_dict()
    for name, factor in (("fc_1.weight", 5e4), ("fc_1.bias", 5e4), ("fc_2.weight", 2e-5)):
        state[f"stage_3.0.ops.content.{name}"] *= factor
    torch.save(state, tmp_path / "large.pt")
    return tmp_path / "large.pt"


def test_the_control_tells_what_fp16_costs_from_what_the_file_adds(tmp_path: Path) -> None:
    checkpoint = large(tmp_path, network())
    path = jobs.export(CONFIG, checkpoint=checkpoint, output=tmp_path).onnx.path
    found = jobs.ladder(path, checkpoint=checkpoint)
    assert found.verdict is not None
    assert (found.verdict.rung, found.verdict.node) == ("fp16-saturate", "stage3.block0.fc1")
    assert "fp16 costs this, not the export" in found.verdict.cause
    assert found.control is not None
    assert not found.control.passed


def test_an_overflow_that_the_logits_do_not_show_is_found(tmp_path: Path) -> None:
    # A LayerScale of 1e-6 behind it: saturated, the answers are the same.
    fresh = replace(CONFIG, name="fresh")
    checkpoint = large(tmp_path, create(fresh))
    found = jobs.ladder(fresh, checkpoint=checkpoint)
    broken = found.broken
    assert broken is not None
    assert broken.name == "fp16-saturate"
    assert all(one.passed for one in broken.comparisons)
    assert broken.failures[0].startswith("stage3.block0.fc1 overflows in fp16")
    assert found.verdict is not None
    assert found.verdict.node == "stage3.block0.fc1"


def test_an_untrained_file_hides_nothing_behind_its_layer_scale(tmp_path: Path) -> None:
    fresh = replace(CONFIG, name="fresh", num_classes=12)
    path = jobs.export(fresh, seed=3, output=tmp_path).onnx.path
    sound = jobs.ladder(path)
    assert sound.verdict is None
    assert not sound.trained
    told = [" ".join(line.split()) for line in ladder_lines(sound)]
    assert "note untrained weights: the answers mean nothing, nor does it where one flips" in " ".join(told)
    FAULTS[0].plant(path)
    found = jobs.ladder(path).verdict
    assert found is not None
    assert found.node == FAULTS[0].node


def test_another_preparation_is_a_mistake_only_where_the_model_is_known(path: Path, tmp_path: Path) -> None:
    preparation(mean=[0.1, 0.2, 0.3])(path)
    own = jobs.ladder(path, checkpoint=CHECKPOINT)
    assert own.verdict is None
    assert own.notes == (
        "pictures are prepared in a way of their own: mean (0.1, 0.2, 0.3) in place of (0.485, 0.456, 0.406)",
    )
    known = jobs.export("neonext_nano", output=tmp_path).onnx.path
    preparation(mean=[0.1, 0.2, 0.3])(known)
    found = jobs.ladder(known).verdict
    assert found is not None
    assert found.rung == "pictures"
    preparation(channels="BGR")(known)
    with pytest.raises(ArtifactError, match=r"preprocessing\.channels is 'BGR'; expected RGB"):
        jobs.ladder(known)


def test_what_cannot_be_climbed_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for climbing in (jobs.ladder, jobs.debug):
        with pytest.raises(ArtifactError, match=r"made from the weights in neonext_nano\.safetensors; give it with"):
            climbing(path)
    with pytest.raises(UsageError, match="the manifest tells them"):
        jobs.ladder(path, seed=1)
    with pytest.raises(UsageError, match="--runtime acl opens files"):
        jobs.ladder("neonext_nano", runtime="acl")
    assert run(["verify", "--ladder", str(path), "--atol", "1"]) == 2
    manifest_path(path).unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        jobs.ladder(path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ToolchainError, match="begins in PyTorch"):
        jobs.ladder(path)


def om(folder: Path, monkeypatch: pytest.MonkeyPatch, config: Callable[[Preprocessing], str]) -> Path:
    """An OM of the stand-in that normalises pixels itself, by this configuration in place of the right one."""
    monkeypatch.setattr(command, "aipp_config", config)
    wanted = jobs.OmRequest("Ascend310P3", aipp=True)
    made = jobs.export(CONFIG, checkpoint=CHECKPOINT, output=folder, om=wanted, verify=False).artifacts[0]
    assert isinstance(made, OmExport)
    return made.path


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        (aipp_config, None),
        (lambda right: aipp_config(replace(right, mean=right.std, std=right.mean)), "its mean and std are swapped"),
        (
            lambda right: aipp_config(replace(right, mean=right.mean[::-1], std=right.std[::-1])),
            "in BGR order in place of RGB",
        ),
        (
            lambda right: aipp_config(
                replace(right, mean=tuple(m / 255 for m in right.mean), std=tuple(s / 255 for s in right.std))
            ),
            "pixels are not divided by 255",
        ),
        (
            lambda right: aipp_config(right).replace("rbuv_swap_switch: false", "rbuv_swap_switch: true"),
            "it takes BGR in place of RGB",
        ),
    ],
    ids=["right", "swapped", "BGR", "scale", "channels"],
)
def test_a_wrong_aipp_is_named_where_the_om_runs(
    config: Callable[[Preprocessing], str],
    cause: str | None,
    card: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = jobs.ladder(om(tmp_path, monkeypatch, config), checkpoint=CHECKPOINT)
    assert names(found) == ["pictures", "folded", "lowered", "onnx", "fp16-saturate", "om"]  # the 310P's way alone
    if cause is None:
        assert found.verdict is None
        return
    assert found.verdict is not None
    assert (found.verdict.rung, found.verdict.node) == ("om", "image")
    assert cause in found.verdict.cause


def test_a_model_climbs_to_the_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_npu.use(monkeypatch)
    found = jobs.ladder("neonext_nano", runtime="npu")
    assert found.verdict is None
    assert names(found)[-1] == "npu"
    assert "on npu:0, fp16" in found.rungs[-1].where


def test_an_om_without_a_device_is_climbed_as_far_as_it_goes(
    card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = om(tmp_path, monkeypatch, aipp_config)
    monkeypatch.setitem(sys.modules, "acl", None)
    found = jobs.ladder(path, checkpoint=CHECKPOINT)
    assert found.passed
    assert names(found)[-1] == "fp16-saturate"
    assert found.notes[-1].startswith("the OM itself was not run: ")
    with pytest.raises(ToolchainError):
        jobs.ladder(path, checkpoint=CHECKPOINT, runtime="acl")


def test_a_form_from_a_manifest_is_written_the_same_twice(tmp_path: Path) -> None:
    made = jobs.export(CONFIG, checkpoint=CHECKPOINT, lowering="packed", output=tmp_path, verify=False).onnx
    form, subject = FileRequest.of(made.manifest), Subject(network())
    (first, _), (second, _) = (form.emit(subject, tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert first.files[0].sha256 == second.files[0].sha256
    assert Counter(node.op_type for node in onnx.load(str(tmp_path / "b.onnx")).graph.node) == Counter(
        node.op_type for node in onnx.load(str(made.path)).graph.node
    )
