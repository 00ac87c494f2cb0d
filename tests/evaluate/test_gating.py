"""The task gate of an export: the file beside the network on labelled pictures, refused where it loses too much."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.data import labels_for
from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.evaluate.dataset import open_dataset
from neonext_ascend.jobs import gating
from neonext_ascend.jobs.gating import Gated, GateRefusedError, GateRequest
from neonext_ascend.jobs.making.onnx_file import Orders, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.verify.subject import Subject
from tests.support import digits


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
    pair = caught.value.gated.pair
    labels = [int(picture.parent.name) for picture in held_out.glob("*/*.png")]
    assert (pair.only_first, pair.only_second) == (sum(label >= 8 for label in labels), 0)
    assert not (tmp_path / "out").exists()
    command = ["export", "neonext_nano", "--gate", str(held_out), "--no-verify", "-o", str(tmp_path / "out")]
    assert run(command) == 1
    assert "REFUSED: drops by more than 0.2 points" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


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

    def gate(subject: Subject, artifact: Path, request: GateRequest, watch: Watch) -> Gated:
        found = real(subject, artifact, request, watch)
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
