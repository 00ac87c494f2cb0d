"""``export --dtype int8``: what is refused, what is written, the gate, the ladder, and the way to an OM."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from neonext_ascend import create, jobs
from neonext_ascend.artifacts.int8_twins import scales_of
from neonext_ascend.artifacts.manifest import ArtifactFile
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, ParityError, UsageError
from neonext_ascend.exporters.int8.deploy import packed
from neonext_ascend.exporters.onnx_file.constants import checksums_of
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.bundle import running
from neonext_ascend.jobs.gating import GateRefusedError
from neonext_ascend.jobs.int8.calibration import read_calibration
from neonext_ascend.precision.int8.calibrators import CALIBRATORS
from neonext_ascend.serving.device.opening import open_checked
from tests.support import digits
from tests.support.om_commands import SOC, ask

INT8 = ["export", "neonext_nano", "--dtype", "int8"]


def doubled(value: Any) -> Any:
    return value * 2 if value.dtype == np.float32 else packed(2 * scales_of(value))


def folder(tmp: Path, pixels: Any, labels: Any) -> Path:
    return digits.write((pixels, labels), tmp)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fifth of the held-out digits: 72 pictures."""
    pixels, labels = digits.held_out()
    return folder(tmp_path_factory.mktemp("calibration"), pixels[::5], labels[::5])


@pytest.fixture(scope="module")
def made(calibration: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The QDQ file and the deploy form."""
    request = jobs.Int8Request(calibration, deploy=SOC, sensitivity=True)
    found = jobs.export("neonext_nano", dtype="int8", int8=request, output=tmp_path_factory.mktemp("made"))
    return [Path(one.path) for one in found.artifacts]


def test_three_files_of_one_decision_and_what_the_manifests_hold(made: list[Path], calibration: Path) -> None:
    qdq, deploy = made
    names = {path.name for path in qdq.parent.iterdir()}
    stem = "neonext_nano-96-b1-int8"
    suffixes = (".onnx", ".json", ".record.txt", f"-{SOC}.onnx", f"-{SOC}.json")
    assert names == {f"{stem}{suffix}" for suffix in suffixes}
    manifests = [read_manifest(path.with_suffix(".json")) for path in made]
    for manifest, form, dtype in zip(manifests, ("qdq", "deploy"), ("float32", "float16"), strict=True):
        told = manifest.int8
        assert told is not None
        assert manifest.manifest_version == 4
        assert (manifest.artifact.dtype, manifest.inputs[0].dtype, told["form"]) == ("int8", dtype, form)
        assert (told["calibrator"], told["calibration"]["pictures"], told["calibration"]["classes"]) == ("mse", 72, 10)
        assert len(told["calibration"]["sha256"]) == 64
        assert (len(told["layers"]), sum(map(len, told["kept"].values())), len(told["kept"])) == (17, 12, 1)
        costs = list(told["sensitivity"].values())
        assert costs == sorted(costs)
        assert set(told["sensitivity"]) == set(told["layers"])
        assert told["agreement"]["top1"] == 1.0
        assert told["agreement"]["least"] > 0.998
    assert {node.op_type for node in onnx.load(str(deploy)).graph.node} >= {"AscendQuant", "AscendDequant"}


def test_the_same_command_gives_the_same_bytes(made: list[Path], calibration: Path, tmp_path: Path) -> None:
    request = jobs.Int8Request(calibration, deploy=SOC)
    again = jobs.export("neonext_nano", dtype="int8", int8=request, output=tmp_path)
    assert [one.path.read_bytes() for one in again.artifacts] == [path.read_bytes() for path in made]


def test_the_commands_take_both_files(made: list[Path], calibration: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = ask(capfd, "eval", *made, calibration)["artifacts"]
    assert [one["top1"]["value"] for one in found] == [1.0, 1.0]
    for path in made:
        assert ask(capfd, "verify", path)["parity"]["cosine"] > 0.99
        rungs = ask(capfd, "verify", "--ladder", path)["rungs"]
        assert [rung["name"] for rung in rungs if rung["name"] == "int8"] == ["int8", "int8"]
        assert all(rung["passed"] for rung in rungs)
        assert ("exact integers" in rungs[-1]["where"]) == (path is made[1])


@pytest.mark.parametrize("form", ["qdq", "deploy"])
def test_inner_points_and_constants_are_held_and_debug_names_a_layer_that_is_off(
    form: str, made: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = made[form == "deploy"]
    parity = ask(capfd, "verify", path)["parity"]
    assert len(parity["points"]) == len(read_manifest(path.with_suffix(".json")).points) == 17
    assert jobs.debug(path).first_made is None
    model = onnx.load(str(path))
    names = {tensor.name: tensor for tensor in model.graph.initializer}
    # A scale, and an integer that no answer shows.
    scale, weight = f"stage3.block1.fc1.{'scale_w' if form == 'qdq' else 'dequant.param'}", "stage4.block0.fc2.weight"
    values = onnx.numpy_helper.to_array(names[scale])
    larger = values * 2 if form == "qdq" else packed(2 * scales_of(values))
    names[scale].CopyFrom(onnx.numpy_helper.from_array(np.asarray(larger, values.dtype), scale))
    integers = onnx.numpy_helper.to_array(names[weight]).copy()
    integers.flat[7] += 1 if integers.flat[7] < 0 else -1
    names[weight].CopyFrom(onnx.numpy_helper.from_array(integers, weight))
    onnx.save(model, tmp_path / path.name)
    (tmp_path / path.with_suffix(".json").name).write_bytes(path.with_suffix(".json").read_bytes())
    verdict = jobs.verify(tmp_path / path.name).verdict
    assert (verdict.passed, set(verdict.artifact.changed)) == (False, {scale, weight})
    found = jobs.debug(tmp_path / path.name)
    assert found.first_made is not None
    assert found.first_made.name.startswith("stage3.block1.fc1")
    assert found.cause is not None
    assert "farther from float32 than 8 bits explain" in found.cause.what


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pixels, labels = digits.held_out()
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 96)).astype(np.uint8)
    mostly = [*np.flatnonzero(labels == 3), int(np.flatnonzero(labels == 4)[0])]
    sets = {
        "eight": (pixels[:8], labels[:8]),
        "one class": (pixels[labels == 7], labels[labels == 7]),
        "one class and one more": (pixels[mostly], labels[mostly]),
        "noise": (noise, np.arange(40) % 10),
        "noise that is enlarged": (noise[:, :28, :28], np.arange(40) % 10),
        "inverted": (255 - pixels[:64], labels[:64]),
        # As if saved after ImageNet's mean and std in place of nano's.
        "darker": ((pixels[:64] * 0.4).astype(np.uint8), labels[:64]),
    }
    root = tmp_path_factory.mktemp("bad")
    return {name: folder(root / name.replace(" ", "-"), *both) for name, both in sets.items()}


WORDS = {
    "eight": "holds 8 pictures; expected at least 32",
    "one class": "its pictures are of one class; give pictures of all classes",
    "one class and one more": "97 % of its pictures are of one class; give",
    "noise": "its pictures are noise: neighbouring pixels correlate by",
    "noise that is enlarged": "its pictures are noise, enlarged: pixels a sixteenth of the side apart correlate by",
    "inverted": "prepared otherwise: at stem.norm they are 1.2",
    "darker": "prepared otherwise: at stem.norm they are 0.",
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_set_that_will_not_do_is_refused_in_words_of_its_own(
    kind: str, bad: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [*INT8, "--calibration", str(bad[kind]), "--no-verify", "-o", str(tmp_path / "out")]
    assert run(command) == 2
    error = capfd.readouterr().err
    assert WORDS[kind] in error
    assert "--calibration-anyway takes them" in error
    assert not (tmp_path / "out").exists()


def test_a_flat_folder_is_of_the_classes_that_the_network_names(
    bad: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sevens = bad["one class"] / "7"
    assert run([*INT8, "--calibration", str(sevens), "-o", str(tmp_path)]) == 2
    assert "of one class by the network's own answers" in capfd.readouterr().err


def test_a_refused_set_is_taken_where_that_is_said(bad: dict[str, Path], tmp_path: Path) -> None:
    told: list[str] = []
    request = jobs.Int8Request(bad["eight"], anyway=True)
    found = jobs.export("neonext_nano", dtype="int8", int8=request, output=tmp_path, watch=jobs.Watch(warn=told.append))
    assert "holds 8 pictures" in told[0]
    assert told[0].endswith("taken all the same")
    assert found.onnx.manifest.int8 is not None
    assert found.onnx.manifest.int8["calibration"]["pictures"] == 8


def test_an_interrupt_while_it_calibrates_leaves_nothing(calibration: Path, tmp_path: Path) -> None:
    command = [*INT8, "--calibration", str(calibration), "--sensitivity", "-o", str(tmp_path / "o")]
    process = subprocess.Popen(
        [sys.executable, "-m", "neonext_ascend", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run started in the background hands down an ignored SIGINT, which Python would keep.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # The float32 file has appeared in the staging folder: what follows is int8's.
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("o/.neonext-staging-*/fp32/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "error: interrupted; nothing was left half-written"
    assert list(tmp_path.iterdir()) == []


def test_damaged_pictures_are_left_out_and_said_once(calibration: Path, tmp_path: Path) -> None:
    shutil.copytree(calibration, tmp_path / "half")
    files = sorted((tmp_path / "half").rglob("*.png"))
    for file in files[::2]:
        file.write_bytes(file.read_bytes()[:60])
    preprocessing, told = preprocessing_for("neonext_nano", (96, 96)), list[str]()
    found = read_calibration(tmp_path / "half", preprocessing, jobs.Watch(warn=told.append))
    assert (len(found.pixels), len(found.labels)) == (36, 36)
    (words,) = told
    assert "36 of 72 pictures cannot be read and are left out; the first: " in words
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(UsageError, match="none of its pictures can be read; the first: "):
        read_calibration(tmp_path / "half", preprocessing, jobs.Watch())


REFUSED = {
    "no set": ([*INT8], "--dtype int8: needs --calibration FOLDER"),
    "a set for fp32": (["export", "neonext_nano", "--calibration", "CAL"], "--calibration: is of int8"),
    "an option without a set": (["export", "neonext_nano", "--calibrator", "entropy"], "--calibrator is of int8"),
    "deploy without int8": (["export", "neonext_nano", "--format", "deploy"], "--format deploy is of int8"),
    "deploy without a chip": ([*INT8, "--calibration", "CAL", "--format", "deploy"], "needs --soc-version"),
    "chnw": ([*INT8, "--calibration", "CAL", "--layout", "chnw"], "int8 takes the second alone; take nchw"),
    "opset 12": ([*INT8, "--calibration", "CAL", "--opset", "12"], "opset 12: int8 needs 13 to 18"),
    "rescue": ([*INT8, "--calibration", "CAL", "--rescue"], "--rescue: is of half precision"),
    "kept nodes": ([*INT8, "--calibration", "CAL", "--keep-fp32", "logits"], "--keep-fp32: is of half precision"),
    "a free batch": (
        [*INT8, "--calibration", "CAL", "--format", "deploy", "--soc-version", SOC, "--batch-size", "dynamic"],
        "the deploy form has a static shape only",
    ),
    "gears": (
        [*INT8, "--calibration", "CAL", "--format", "om", "--soc-version", SOC, "--batch-gears", "1,2"],
        "a quantised model has a static shape only",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_together(what: str, calibration: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command, words = REFUSED[what]
    assert run([str(calibration) if word == "CAL" else word for word in command]) == 2
    assert words in capfd.readouterr().err


def test_a_folder_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*INT8, "--calibration", str(tmp_path / "none"), "--no-verify", "-o", str(tmp_path)]) == 5
    assert "no such folder" in capfd.readouterr().err


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano with one channel of each block's NeoCell a thousand times larger, and fc_1 as much smaller there."""
    network = load("neonext_nano").network
    with torch.no_grad():
        for name, module in network.named_modules():
            if name.endswith(".ops.content"):
                norm, first = module.norm, module.fc_1
                norm.weight[0] *= 1000
                norm.bias[0] *= 1000
                first.weight[:, 0] /= 1000
    path = tmp_path_factory.mktemp("hard") / "hard.pt"
    torch.save(network.state_dict(), path)
    return path


def test_a_hard_network_is_ruined_by_minmax_and_saved_by_balancing_or_by_the_gate(
    hard: Path, calibration: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"checkpoint": hard, "dtype": "fp32", "verify": False}
    pixels, labels = digits.held_out()
    few = folder(tmp_path / "few", pixels[1::6], labels[1::6])
    asked |= {"dtype": "int8", "gate": few, "max_drop": 2.0, "batch_size": 2}
    plain = jobs.Int8Request(calibration, "minmax", balance=False)
    notes: list[str] = []
    watch = jobs.Watch(note=notes.append)
    kept = jobs.export("neonext_nano", **asked, int8=plain, output=tmp_path / "kept", watch=watch)
    (words,) = (note for note in notes if note.startswith("the gate refuses int8 everywhere"))
    told = kept.onnx.manifest.int8
    assert told is not None
    names = told["kept"]["int8 costs accuracy here (--gate)"]
    assert 1 <= len(names) <= 6
    assert all(name.endswith(".fc1") for name in names)
    assert all(name in words for name in names)
    assert kept.onnx.gated is not None
    assert kept.onnx.gated.pair.drop.points <= 5
    even = jobs.export("neonext_nano", **asked, int8=jobs.Int8Request(calibration, "minmax"), output=tmp_path / "even")
    assert even.onnx.gated is not None
    assert even.onnx.gated.pair.drop.points <= 2
    assert even.onnx.manifest.int8 is not None
    assert len(even.onnx.manifest.int8["layers"]) == 17
    # As it stands, without either.
    ruined = jobs.export("neonext_nano", checkpoint=hard, dtype="int8", int8=plain, verify=False, output=tmp_path / "r")
    assert jobs.evaluate(ruined.onnx.path, few).artifacts[0].top1.value < 0.8


def test_nothing_is_left_where_the_gate_refuses_float32_too(
    calibration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels are others than the network's, so that no layer is to blame."""
    from neonext_ascend.evaluate.paired import Gate

    monkeypatch.setattr(Gate, "refused", True)
    with pytest.raises(GateRefusedError, match="nor does it pass with every layer in fp16"):
        jobs.export(
            "neonext_nano", dtype="int8", int8=jobs.Int8Request(calibration), gate=calibration, output=tmp_path / "out",
            verify=False,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_the_way_to_an_om_on_the_stand_ins(
    card: None, calibration: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    om = [*INT8, "--calibration", calibration, "--format", "om", "--soc-version", SOC]
    paths = {Path(one["path"]).name: one for one in ask(capfd, *om, "-o", tmp_path)["artifacts"]}
    stem = "neonext_nano-96-b1-int8"
    assert set(paths) == {f"{stem}.onnx", f"{stem}-{SOC}.onnx", f"{stem}-{SOC}.om"}
    made = paths[f"{stem}-{SOC}.om"]
    assert (made["dtype"], made["compilation"]["onnx"]["sha256"]) == ("int8", paths[f"{stem}-{SOC}.onnx"]["sha256"])
    assert made["parity"]["cosine"] > 0.99
    assert made["parity"]["own_answers"]["passed"]
    found = ask(capfd, "eval", *(one["path"] for one in paths.values()), calibration)["artifacts"]
    assert [one["top1"]["value"] for one in found] == [1.0] * 3
    rungs = ask(capfd, "verify", "--ladder", made["path"])["rungs"]
    assert rungs[-1]["name"] == "om"
    assert rungs[-1]["passed"]
    # As if the compiler had made it wrong: the OM is held to the int8 file's answers as well.
    path = Path(made["path"]).with_suffix(".json")
    manifest = read_manifest(path)
    assert manifest.int8 is not None
    manifest.int8["answers"]["outputs"]["logits"]["values"][3] += 0.1
    manifest.write(path)
    with pytest.raises(ParityError, match="off this int8 file's own answers"):
        open_checked(Path(made["path"]), "acl", 0, 1, manifest.artifact.files[0].sha256)
    assert run(["verify", "--ladder", made["path"]]) == 1
    assert "off this int8 file's own answers" in " ".join(capfd.readouterr().err.split())
    inputs, answers = np.zeros((1, 3, 96, 96), np.float32), np.zeros((1, 10), np.float32)
    np.savez(tmp_path / running.INPUTS, zeros=inputs)
    np.savez(tmp_path / running.EXPECTED, zeros=answers)
    found = running._run(tmp_path, path.with_suffix(".om"), manifest)["parity"]
    assert not found["own_answers"]["passed"]
    assert "off this int8 file's own answers" in found["reasons"][-1]


def test_calibrators_are_the_commands(made: list[Path]) -> None:
    from neonext_ascend.cli import export_options

    assert export_options.CALIBRATORS == CALIBRATORS


def test_half_precision_is_judged_between_the_integers(
    calibration: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A layer whose result is beyond 65504, and behind it one as much smaller: the answers hardly tell."""
    state = create("neonext_nano").state_dict()
    for name, factor in (("fc_1.weight", 5e4), ("fc_1.bias", 5e4), ("fc_2.weight", 2e-5)):
        state[f"stage_3.0.ops.content.{name}"] *= factor
    torch.save(state, tmp_path / "large.pt")
    export = [*INT8, "--checkpoint", str(tmp_path / "large.pt"), "--calibration", str(calibration)]
    assert run([*export, "--format", "deploy", "--soc-version", SOC, "-o", str(tmp_path / "out")]) == 1
    assert "int8-Ascend310P3.onnx: stage3.block0.fc1.dequant overflows in fp16: " in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_verify_judges_the_deploy_form_in_half_precision(made: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    verdicts = ask(capfd, "verify", made[1])["parity"]["half"]
    assert [(one["overflow"], one["passed"], one["fp16"]) for one in verdicts] == [
        ("saturate", True, "every node"),
        ("ieee", True, "every node"),
    ]
    assert ask(capfd, "verify", made[0])["parity"]["half"] == []


def test_no_node_is_blamed_for_rounding_to_8_bits(made: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    qdq, deploy = made
    for command, told in (
        (["debug", deploy, "--against", qdq], f"deploy form and is held against int8 in QDQ form ({qdq})"),
        (["debug", "--rescue", qdq], "holds int8; a rescue looks for the fp32 nodes of a file in fp32 or fp16"),
    ):
        assert run([*map(str, command)]) == 2
        assert told in capfd.readouterr().err
    for path in made:
        assert run(["debug", str(path)]) == 0


@pytest.mark.parametrize("form", [0, 1], ids=["qdq", "deploy"])
def test_a_changed_constant_of_int8_is_named(
    form: int, made: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One layer with its channels exchanged, which no sum over the answers needs to show."""
    path = tmp_path / made[form].name
    model = onnx.load(str(made[form]))
    (held,) = (one for one in model.graph.initializer if one.name == "stage3.block0.fc2.weight")
    held.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held)[::-1].copy(), held.name))
    onnx.save(model, str(path))
    path.with_suffix(".json").write_bytes(made[form].with_suffix(".json").read_bytes())
    assert run(["verify", str(path)]) == 1
    assert "stage3.block0.fc2.weight is not the one that was exported" in capfd.readouterr().err
    assert run(["verify", "--ladder", str(path)]) == 1
    told = "int8 fails at stage3.block0.fc2.weight: its constant stage3.block0.fc2.weight is not the one"
    assert told in capfd.readouterr().err
    assert run(["debug", str(path), "--against", str(made[form])]) == 1
    assert "cause    its constant stage3.block0.fc2.weight has its channels permuted" in capfd.readouterr().out


def wrong(made: Path, folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """The file with a constant changed, and a manifest that says so: as if what made it had made it wrong."""
    path, model = folder / made.name, onnx.load(str(made))
    (held,) = (one for one in model.graph.initializer if one.name == name)
    held.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(held))), name))
    onnx.save(model, str(path))
    manifest = read_manifest(made.with_suffix(".json"))
    stamped = ArtifactFile(path.name, sha256_of(path), path.stat().st_size)
    artifact = replace(manifest.artifact, files=(stamped,))
    replace(manifest, artifact=artifact, checksums=checksums_of(model)).write(path.with_suffix(".json"))
    return path


def opened(path: Path) -> None:
    open_checked(path, "ort", 0, 1, sha256_of(path)).runner.close()


# The two that move the answers the least, and one that brings them nearer to float32's than the right file's are.
SWAPPED = ["stage2.block0.neocell.right", "stage2.block1.neocell.right", "stage3.block0.neocell.left"]
WRONG: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{f"{name} transposed": (name, lambda value: value.swapaxes(-1, -2)) for name in SWAPPED},
    "scales of channels exchanged": ("downsample3.conv.SCALE", lambda value: value[::-1]),
    "a scale doubled": ("stage2.block1.fc1.SCALE", doubled),
    "a bias moved by a channel": ("stem.conv.bias", lambda value: np.roll(value, 1)),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("form", ["qdq", "deploy"])
def test_a_wrong_int8_file_whose_manifest_agrees_is_neither_served_nor_verified(
    form: str, what: str, made: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, change = WRONG[what]
    name = name.replace("SCALE", "scale_w" if form == "qdq" else "dequant.param")
    path = wrong(made[form == "deploy"], tmp_path, name, change)
    with pytest.raises(ParityError, match=r"not served, .*: logits is \d\.\d+ off this int8 file's own answers"):
        opened(path)
    if name == SWAPPED[0]:
        assert run(["verify", str(path)]) == 1
        assert "off this int8 file's own answers at its export, allowed" in " ".join(capfd.readouterr().err.split())
        assert run(["verify", "--ladder", str(path)]) == 1
        assert "int8 fails: it answers otherwise than the int8 file that was exported" in capfd.readouterr().err


def test_the_right_int8_files_are_served_and_older_manifests_as_before(made: list[Path], tmp_path: Path) -> None:
    for path in made:
        opened(path)
        own = jobs.verify(path).verdict.artifact.own
        assert own is not None
        assert own.relative <= own.allowed / 3
        assert own.allowed == pytest.approx(0.012)
    path = wrong(made[0], tmp_path, SWAPPED[0], lambda value: value)
    manifest = read_manifest(path.with_suffix(".json"))
    assert manifest.int8 is not None
    # A rounding that cannot be one allows no more than any other may.
    much = {**manifest.int8, "answers": {**manifest.int8["answers"], "rounding": 0.8}}
    replace(manifest, int8=much).write(path.with_suffix(".json"))
    own = jobs.verify(path).verdict.artifact.own
    assert own is not None
    assert own.allowed == pytest.approx(0.05)
    older = {name: value for name, value in manifest.int8.items() if name != "answers"}
    replace(manifest, int8=older).write(path.with_suffix(".json"))
    opened(path)
    assert jobs.verify(path).verdict.artifact.own is None
    for answers in ({"outputs": {}, "rounding": 0}, {"outputs": {"logits": {"values": ["x"]}}}, 3):
        replace(manifest, int8={**older, "answers": answers}).write(path.with_suffix(".json"))
        with pytest.raises(ArtifactError, match=r"int8 answers cannot be read: .*; export again"):
            opened(path)
