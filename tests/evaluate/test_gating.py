"""The task gate of an export: the file beside the network on labelled pictures, refused where it loses too much."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.data import labels_for
from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.images.dataset import open_dataset
from neonext_ascend.jobs import gating
from neonext_ascend.jobs.gating import Gated, GateRefusedError, GateRequest, Simulated
from neonext_ascend.jobs.making.onnx_file import Orders, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.verify.subject import Subject
from tests.support import digits
from tests.support.om_commands import SOC, ask


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty of the held-out digits."""
    pixels, labels = digits.held_out()
    return digits.write((pixels[:30], labels[:30]), tmp_path_factory.mktemp("few"))


@pytest.fixture
def worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports take the classes 8 and 9 for each other, which no check is asked about."""

    def prepared(network: Any, **options: Any) -> Any:
        other = copy.deepcopy(network)
        with torch.no_grad():
            rows = other.head[-1].weight[[*range(8), 9, 8]]
            other.head[-1].weight.copy_(rows)
            other.head[-1].bias.copy_(other.head[-1].bias[[*range(8), 9, 8]])
        return prepare(other, **options)

    monkeypatch.setattr("neonext_ascend.jobs.making.request.prepare", prepared)


def test_a_file_that_keeps_the_accuracy_appears_with_the_figures(
    held_out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "neonext_nano", "--gate", str(held_out), "--max-drop", "2", "-o", str(tmp_path), "--json"]
    assert run(command) == 0
    (made,) = json.loads(capfd.readouterr().out)["artifacts"]
    assert made["gate"]["images"] == 360
    assert made["gate"]["judged_by"].startswith("ONNX Runtime")
    assert made["gate"]["network"]["value"] == made["gate"]["artifact"]["value"] == 1.0
    assert made["gate"]["gate"] == {"max_drop": 2.0, "refused": False, "decided": True, "pictures_needed": None}


def test_too_few_pictures_are_told(held_out: Path, tmp_path: Path) -> None:
    made = jobs.export("neonext_nano", gate=held_out, output=tmp_path).onnx
    # None of 360 lost: the upper bound of the drop is z^2 / (n + z^2), 0.75 points; 0.2 takes n = 1,351.
    assert str(made.gated).startswith("passed, not decided: about 1400 pictures are needed (top-1 100.00 %")


def test_a_file_that_loses_accuracy_does_not_appear(
    worse: None, held_out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GateRefusedError) as caught:
        jobs.export("neonext_nano", gate=held_out, max_drop=5, verify=False, output=tmp_path / "out")
    assert caught.value.gated is not None
    pair = caught.value.gated.pair
    labels = [int(picture.parent.name) for picture in held_out.glob("*/*.png")]
    assert (pair.only_first, pair.only_second) == (sum(label >= 8 for label in labels), 0)
    assert not (tmp_path / "out").exists()
    command = ["export", "neonext_nano", "--gate", str(held_out), "--no-verify", "-o", str(tmp_path / "out")]
    assert run(command) == 1
    assert "REFUSED: drops by more than 0.2 points" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def beyond(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano with an A that is 2^14 times as large in its third stage, and a B as much smaller: fp16 holds every weight,
    but not what A gives."""
    network = load("neonext_nano").network
    for name, value in network.state_dict().items():
        if name.startswith("stage_3.") and ".weight_" in name:
            value.mul_(2.0 ** (14 if ".weight_a." in name else -14))
    path = tmp_path_factory.mktemp("beyond") / "beyond.pt"
    torch.save(network.state_dict(), path)
    return path


def test_fp16_is_judged_as_a_chip_computes_it(beyond: Path, few: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"checkpoint": beyond, "dtype": "fp16", "verify": False}
    made = jobs.export("neonext_nano", **asked, output=tmp_path / "free").onnx
    # Of ONNX Runtime, which keeps fp32 between the nodes, alone: nothing is lost.
    assert jobs.evaluate(made.path, few).artifacts[0].top1.value == 1.0
    with pytest.raises(GateRefusedError, match=r"in half precision: gives NaN or infinity.*on the gate's pictures"):
        jobs.export("neonext_nano", **asked, gate=few, max_drop=5, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # A chip that saturates has answers: here right ones, for few values are that large.
    request, subject = GateRequest(open_dataset(few), 20), Subject(load("neonext_nano", checkpoint=beyond).network)
    found = gating.judged(subject, made.path, request, Watch(), Simulated(("saturate",)))
    assert (found.artifact.top1.value, found.pair.gate(20).refused) == (1.0, False)


def test_saturated_answers_that_are_wrong_are_refused(few: Path, tmp_path: Path) -> None:
    """What goes through 2^36 and back has lost all but its signs, without a NaN."""
    path = jobs.export("neonext_nano", output=tmp_path).onnx.path
    model = onnx.load(str(path))
    (reader,) = (node for node in model.graph.node if node.name == "head.fc" or node.output[0] == "logits")
    steps, value = [], reader.input[0]
    for number, power in enumerate((12, 12, 12, -12, -12, -12)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(2.0**power, np.float32), f"f{number}"))
        steps.append(helper.make_node("Mul", [value, f"f{number}"], [f"v{number}"], f"m{number}"))
        value = f"v{number}"
    reader.input[0] = value
    place = list(model.graph.node).index(reader)
    nodes = [*model.graph.node[:place], *steps, *model.graph.node[place:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    request, subject = GateRequest(open_dataset(few), 20), Subject(load("neonext_nano").network)
    assert gating.judged(subject, path, request, Watch()).pair.drop.points == 0
    with pytest.raises(GateRefusedError, match=r"REFUSED: drops by more than 20 points.*saturating, as 310P"):
        gating.gate(subject, path, request, Watch(), Simulated(("saturate",)))


def test_an_om_is_judged_on_its_device_or_by_a_simulation_that_says_so(
    card: None, beyond: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    om = ["export", "neonext_nano", "--format", "om", "--soc-version", SOC, "--gate", few, "--max-drop", 20]
    on_card = ask(capfd, *om, "-o", tmp_path / "card")["artifacts"]
    assert [made["gate"]["judged_by"].split(" ")[0] for made in on_card] == ["pyACL,", "ONNX"]
    pixels = ask(capfd, *om, "--aipp", "-o", tmp_path / "aipp")["artifacts"][0]
    assert (pixels["gate"]["images"], pixels["gate"]["artifact"]["value"]) == (30, 1.0)
    monkeypatch.setitem(sys.modules, "acl", None)
    for more in ([], ["--bundle", tmp_path / "all.tar.gz"], ["--aipp"]):
        first, second = ask(capfd, *om, "-o", tmp_path / "none", *more)["artifacts"]
        said = "half precision simulated on the CPU, each node's result rounded, saturating, as 310P and 310B do; "
        assert first["gate"]["judged_by"] == f"{said}the OM itself did not run"
        assert second["gate"]["judged_by"].startswith("ONNX Runtime")
    assert run([*map(str, om), "-o", str(tmp_path / "words")]) == 0
    assert "the OM itself did not run" in " ".join(capfd.readouterr().out.split())
    ieee = [*map(str, om), "--soc-version", "Ascend910B3", "--checkpoint", str(beyond), "--no-verify"]
    assert run([*ieee, "-o", str(tmp_path / "out")]) == 1
    assert "in half precision: gives NaN or infinity" in capfd.readouterr().err
    assert not list((tmp_path / "out").glob("*.om"))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"max_drop": 1.0}, UsageError, "--max-drop 1: is of --gate"),
        ({"gate": "absent"}, FileAccessError, "absent: no such data set"),
        ({"gate": "empty"}, UsageError, "empty: no data set"),
        ({"model": "neonext_t", "gate": None}, UsageError, "untrained weights have no accuracy to lose"),
    ],
)
def test_what_cannot_be_gated_is_told_before_any_work(
    arguments: dict[str, Any],
    kind: type[NeoNextError],
    words: str,
    held_out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    given = {"model": "neonext_nano", **arguments}
    if "gate" in given and given["gate"] is None:
        given["gate"] = held_out
    with pytest.raises(kind, match=words):
        jobs.export(**given)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The gate passes a file in fp32, and one in fp16 that keeps five nodes; what each of the asked ones kept."""
    asked: list[tuple[str, ...]] = []
    real = gating.gate

    def gate(subject: Subject, artifact: Path, request: GateRequest, watch: Watch, *more: Any) -> Gated:
        found = real(subject, artifact, request, watch, *more)
        made = read_manifest(manifest_path(artifact)).artifact
        asked.append(made.keep_fp32)
        if made.dtype == "fp16" and len(made.keep_fp32) < 5:
            raise GateRefusedError(f"{artifact.name}: coarse", found)
        return found

    monkeypatch.setattr("neonext_ascend.jobs.making.onnx_file.gate", gate)
    return asked


def test_where_only_fp16_loses_accuracy_a_rescue_keeps_the_nodes_that_add_most_error(
    coarse: list[tuple[str, ...]], few: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    with pytest.raises(GateRefusedError, match=r"coarse$"):
        jobs.export("neonext_nano", dtype="fp16", gate=few, output=tmp_path / "plain")
    coarse.clear()
    watch = jobs.Watch(note=told.append)
    made = jobs.export("neonext_nano", dtype="fp16", gate=few, rescue=True, output=tmp_path / "out", watch=watch).onnx
    # As it is, in fp32, with 1, 2, 4 and 8 nodes, and what was found once more under its own name.
    assert [len(kept) for kept in coarse] == [0, 0, 1, 2, 4, 8, 8]
    assert made.manifest.artifact.keep_fp32 == coarse[-1]
    assert made.gated is not None
    assert any(text.startswith("the gate refuses it in fp16; it passes with the 8 nodes in fp32") for text in told)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "neonext_nano-96-b1-fp16.json",
        "neonext_nano-96-b1-fp16.onnx",
    ]


def test_where_fp32_loses_as_much_a_rescue_says_that_half_precision_is_not_why(
    worse: None, held_out: Path, tmp_path: Path
) -> None:
    loaded, folder = load("neonext_nano"), tmp_path / "out"
    orders = Orders(verify=False, rescue=True, gate=GateRequest(open_dataset(held_out), 5))
    with pytest.raises(GateRefusedError, match=r"in fp32 it is refused too, so half precision is not why"):
        export_verified(loaded, folder, labels_for("neonext_nano", 10), FileRequest(dtype="fp16"), orders)
    assert not folder.exists()
