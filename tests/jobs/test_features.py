"""``export --features``: the four maps as outputs, each as PyTorch gives it, in every form of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import FeatureMaps
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.jobs.making.onnx_file import ParityFailedError
from neonext_ascend.models.features import NeoNeXtFeatures
from neonext_ascend.models.layers import tensors_in
from neonext_ascend.runtimes.ort import OrtRunner
from tests import DATA
from tests.support.networks import noise, relative_error, small_config, small_network

CONFIG, CHECKPOINT = small_config((96, 128)), DATA / "small_release_ema.pt"
# float32 in another order of summation; the project's bound for two right forms of a network.
SAME = 5e-6
# Sixteen-bit numbers with a step of 2^-10 in each of some forty layers; one wrong matrix moves a map by 3e-2 and more.
HALF = 5e-3


def export(folder: Path, **asked: Any) -> jobs.Export:
    return jobs.export(CONFIG, checkpoint=CHECKPOINT, output=folder, **{"features": "nchw", **asked})


@pytest.mark.parametrize(
    ("asked", "bound"),
    [
        ({}, SAME),
        ({"features": "nhwc"}, SAME),
        ({"features": "nhwc", "layout": "chnw", "batch_size": "dynamic"}, SAME),
        ({"layout": "chnw", "opset": 11}, SAME),
        ({"lowering": "padded", "layout": "chnw"}, SAME),
        ({"lowering": "padded", "features": "nhwc"}, SAME),
        ({"lowering": "packed", "batch_size": 2}, SAME),
        ({"dtype": "fp16", "keep_fp32": ["stage3", "stage2.block0.fc1"]}, HALF),
        ({"dtype": "fp16", "features": "nhwc", "gelu": "tanh"}, HALF),
    ],
)
def test_each_map_is_as_pytorch_gives_it(asked: dict[str, Any], bound: float, tmp_path: Path) -> None:
    made = export(tmp_path, **asked).onnx
    assert made.verdict is not None
    assert made.verdict.passed
    layout = asked.get("features", "nchw")
    network = NeoNeXtFeatures(small_network((96, 128)), layout)
    x = noise(asked.get("batch_size", 1) if asked.get("batch_size") != "dynamic" else 3, 3, 96, 128)
    with OrtRunner(made.path) as runner, torch.no_grad():
        got = runner.infer({"image": x.numpy().astype(runner.inputs[0].dtype)})
        for name, want in zip(("stage1", "stage2", "stage3", "stage4"), tensors_in(network(x)), strict=True):
            assert relative_error(got[name], want) <= bound
    assert all(c.max_rel <= bound for c in made.verdict.artifact.comparisons)
    if bound == SAME:  # and the verdict would not have passed with more
        assert made.verdict.artifact.tolerance.of_maps().max_relative == SAME
    manifest = manifest_of(made.path)
    assert manifest.features == FeatureMaps(layout, (16, 32, 64, 128), (4, 8, 16, 32))
    assert [spec.name for spec in manifest.outputs] == ["stage1", "stage2", "stage3", "stage4"]
    assert [spec.shape[1:] for spec in manifest.outputs] == list(network.outputs().values())
    assert manifest.labels == ()
    # An output is compared as one, and no pass refuses what only its axes' order asks for.
    assert not {spec.name for spec in manifest.outputs} & set(manifest.points)
    assert not [refusal for refusal in made.report.refused if "the network's output" in refusal.reason]


def test_what_the_axes_take_is_one_transpose_a_map(tmp_path: Path) -> None:
    def transposes(**asked: Any) -> int:
        model = onnx.load(str(export(tmp_path, verify=False, **asked).onnx.path))
        return sum(node.op_type == "Transpose" for node in model.graph.node)

    assert transposes() == 0
    assert transposes(features="nhwc") == 4
    assert transposes(layout="chnw") == transposes(layout="chnw", features="nhwc") == 1 + 4  # one for the picture


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("features")).onnx.path


def test_the_file_is_checked_again_with_and_without_its_network(artifact: Path) -> None:
    for checkpoint, against in ((CHECKPOINT, "the unfolded network"), (None, "the values stored")):
        found = jobs.verify(artifact, checkpoint=checkpoint)
        assert found.verdict.passed
        assert found.against.startswith(against)
        assert {c.output for c in found.verdict.artifact.comparisons} == {"stage1", "stage2", "stage3", "stage4"}
        assert found.verdict.to_json()["top1"] is None
    assert jobs.debug(artifact, checkpoint=CHECKPOINT).first_made is None


def test_a_wrong_matrix_behind_the_third_map_is_found_at_the_fourth(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / artifact.name
    path.with_suffix(".json").write_bytes(artifact.with_suffix(".json").read_bytes())
    model = onnx.load(str(artifact))
    (constant,) = (one for one in model.graph.initializer if one.name == "stage4.block0.fc2.weight")
    turned = np.ascontiguousarray(numpy_helper.to_array(constant)[::-1])
    constant.CopyFrom(numpy_helper.from_array(turned, constant.name))
    onnx.save(model, str(path))
    for checkpoint in (CHECKPOINT, None):
        report = jobs.verify(path, checkpoint=checkpoint).verdict.artifact
        assert not report.passed
        assert {c.output for c in report.comparisons if not c.passed} == {"stage4"}
    made = jobs.debug(path, checkpoint=CHECKPOINT).first_made
    assert made is not None
    assert made.name == "stage4.block0.fc2"
    climbed = jobs.ladder(path, checkpoint=CHECKPOINT)
    assert climbed.verdict is not None
    assert (climbed.verdict.rung, climbed.verdict.node) == ("artifact", "stage4.block0.fc2")
    assert "its channels permuted" in climbed.verdict.cause


def test_the_ladder_is_climbed_by_each_map(artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--ladder", str(artifact), "--checkpoint", str(CHECKPOINT)]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines() if " pytorch  " in line]
    assert [row[0] for row in rows[-4:]] == ["artifact", "fp16-saturate", "fp16-ieee", "pytorch-fp16"]
    assert {row[5] for row in rows} == {"-"}  # first classes, of which maps have none


def test_another_files_outputs_are_no_reference(
    artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = jobs.export("neonext_nano", output=tmp_path, verify=False).onnx.path
    assert run(["verify", str(artifact), "--against", str(other)]) == 2
    assert f"{other}: gives logits float32[1, 10]; the artifact gives stage1 " in capfd.readouterr().err


def test_a_wrong_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neonext_ascend.passes.to_chnw.LEAVE", (2, 0, 3, 1))
    with pytest.raises((ParityFailedError, ArtifactError)):
        jobs.export("neonext_nano", features="nchw", layout="chnw", output=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["predict", "PICTURE"], ["eval", "FOLDER"]])
def test_who_asks_for_classes_is_told_in_one_line(
    artifact: Path, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "3").mkdir()
    picture = Path("neonext_ascend/data/samples/digit_3.png").absolute()
    (tmp_path / "3" / picture.name).write_bytes(picture.read_bytes())
    given = [{"PICTURE": str(picture), "FOLDER": str(tmp_path)}.get(word, word) for word in command]
    assert run([given[0], str(artifact), *given[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gives maps, no classes" in line


@pytest.mark.parametrize("asked", [{"labels": ["a"]}, {"gate": "digits"}])
def test_what_is_of_classes_is_refused_with_maps(asked: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of a file that gives classes; --features gives maps"):
        export(tmp_path, **asked)


def test_bounds_of_logits_are_not_taken_for_those_of_maps(artifact: Path) -> None:
    with pytest.raises(UsageError, match="--atol and --rtol are of logits"):
        jobs.verify(artifact, atol=1e-9)


def test_the_layout_of_no_maps_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "neonext_nano", "--features-layout", "nhwc"]) == 2
    assert "--features-layout nhwc: is of maps; give --features with it" in capsys.readouterr().err
