"""The parity check must be able to fail, and must say where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.data import labels_for
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.exporters import export_onnx
from neonext_ascend.jobs.making.onnx_file import OnnxExport, Orders, ParityFailedError, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import compare_logits
from neonext_ascend.verify.feeds import feeds_for, noise

FP32 = TOLERANCES["fp32"]
LABELS = labels_for("neonext_nano", 10)


def transpose(path: Path, name: str) -> None:
    """Transpose the last two axes of one constant in an ONNX file."""
    model = onnx.load(str(path))
    (constant,) = (i for i in model.graph.initializer if i.name == name)
    swapped = np.ascontiguousarray(numpy_helper.to_array(constant).swapaxes(-1, -2))
    constant.CopyFrom(numpy_helper.from_array(swapped, name))
    onnx.save(model, str(path))


@pytest.fixture
def nano(tmp_path: Path) -> OnnxExport:
    return export_verified(load("neonext_nano"), tmp_path, LABELS)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    net = load("neonext_nano").network
    redraw_at_order_one(net, seed=3)
    path = tmp_path / "weights.pt"
    torch.save(net.state_dict(), path)
    return path


def test_an_export_is_verified_and_its_manifest_says_so(nano: OnnxExport) -> None:
    assert nano.verdict is not None
    assert nano.verdict.passed
    assert nano.verdict.twin is None
    report = nano.verdict.artifact
    assert [c.what for c in report.comparisons] == ["noise, batch 1"] + ["pictures, batch 1"] * 3
    assert [p.name for p in report.points][:3] == ["stem.conv", "stage1.block0.fc2", "stage1.block0"]
    assert report.points[-1].name == "head.pool"
    manifest = read_manifest(nano.manifest_path)
    assert manifest == replace(nano.manifest, parity=manifest.parity, reference=manifest.reference)
    assert manifest.parity is not None
    assert manifest.parity["passed"] is True


def test_recheck_passes_against_the_network_and_against_stored_values(checkpoint: Path, tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano", checkpoint=checkpoint), tmp_path, LABELS)
    stored = jobs.verify(made.path)
    full = jobs.verify(made.path, checkpoint=checkpoint, reference="fp64")
    assert stored.verdict.passed
    assert full.verdict.passed
    assert stored.against == "the values stored in the manifest"
    assert full.against == "the unfolded network in PyTorch, fp64"
    assert len(stored.verdict.artifact.points) == len(full.verdict.artifact.points) == 17


@pytest.mark.parametrize("name", ["stage3.block1.neocell.right", "stage1.block0.neocell.left"])
def test_one_transposed_matrix_fails_with_and_without_the_checkpoint(
    checkpoint: Path, tmp_path: Path, name: str
) -> None:
    made = export_verified(load("neonext_nano", checkpoint=checkpoint), tmp_path, LABELS)
    transpose(made.path, name)
    for given in (None, checkpoint):
        result = jobs.verify(made.path, checkpoint=given)
        assert not result.verdict.passed
        assert result.verdict.artifact.departure == name.rpartition(".neocell")[0] + ".fc2"
        assert "changed since its export" in result.warnings[0]


def test_a_transposed_matrix_fails_though_layer_scale_hides_it_from_the_logits(tmp_path: Path) -> None:
    config = replace(VARIANTS["neonext_nano"].config, name="fresh", num_classes=12)
    made = export_verified(load(config, seed=4), tmp_path, [""] * 12)
    assert made.verdict is not None
    assert made.verdict.twin is not None
    assert made.verdict.twin.passed
    transpose(made.path, "stage2.block0.neocell.left")
    report = jobs.verify(made.path).verdict.artifact
    assert all(c.passed for c in report.comparisons)  # the logits alone would have let it through
    assert not report.passed
    assert report.departure == "stage2.block0.fc2"


def test_a_wrong_export_leaves_nothing_and_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import neonext_ascend.jobs.making.request as line

    original = export_onnx

    def broken(*args: object, **kwargs: object) -> object:
        artifact = original(*args, **kwargs)  # type: ignore[arg-type]
        transpose(artifact.files[0].path, "stage2.block1.neocell.left")
        return artifact

    monkeypatch.setattr(line, "export_onnx", broken)
    with pytest.raises(ParityFailedError, match="nothing was written") as caught:
        export_verified(load("neonext_nano"), tmp_path, LABELS)
    assert caught.value.exit_code == 1
    assert caught.value.verdict.artifact.departure == "stage2.block1.fc2"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = export_verified(load("neonext_nano"), tmp_path, LABELS)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileRequest, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_verified(load("neonext_nano"), tmp_path, LABELS)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert made.path.exists()


def test_the_twin_is_wrong_when_the_code_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import neonext_ascend.passes.fold_batchnorm as fold

    original = fold.affine

    def other_epsilon(norm: torch.nn.BatchNorm2d) -> object:
        wrong = torch.nn.BatchNorm2d(norm.num_features, eps=1e-3)
        wrong.load_state_dict(norm.state_dict())
        return original(wrong)

    monkeypatch.setattr(fold, "affine", other_epsilon)
    config = replace(VARIANTS["neonext_nano"].config, name="fresh", num_classes=12)
    with pytest.raises(ParityFailedError) as caught:
        export_verified(load(config), tmp_path, [""] * 12)
    assert caught.value.verdict.twin is not None
    assert not caught.value.verdict.twin.passed


def test_dynamic_batches_are_checked_at_one_and_three(tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano"), tmp_path, LABELS, FileRequest(batch_size=None))
    assert made.verdict is not None
    assert [c.what for c in made.verdict.artifact.comparisons] == [
        "noise, batch 1",
        "noise, batch 3",
        "pictures, batch 3",
    ]
    assert jobs.verify(made.path).verdict.passed


def test_half_precision_passes_its_own_bounds_and_not_those_of_fp32(tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano"), tmp_path, LABELS, FileRequest(dtype="fp16"))
    assert made.verdict is not None
    assert made.verdict.passed
    assert not jobs.verify(made.path, atol=1e-4, rtol=1e-3).verdict.passed


def test_a_model_is_checked_without_an_artifact() -> None:
    trained = jobs.verify("neonext_nano", reference="fp64")
    assert trained.verdict.passed
    assert trained.verdict.twin is None
    assert not jobs.verify("neonext_nano", reference="fp64", atol=0.0, rtol=1e-12).verdict.passed


def test_what_cannot_be_checked_says_what_is_missing(checkpoint: Path, tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano", checkpoint=checkpoint), tmp_path, LABELS, orders=Orders(verify=False))
    with pytest.raises(ArtifactError, match=r"exported with --no-verify.*give --checkpoint weights.pt"):
        jobs.verify(made.path)
    manifest_path(made.path).unlink()
    with pytest.raises(ArtifactError, match=r"its manifest .* is missing"):
        jobs.verify(made.path)
    with pytest.raises(FileAccessError):
        jobs.verify(tmp_path / "absent.onnx")


def test_another_checkpoint_fails_and_is_named(checkpoint: Path, tmp_path: Path) -> None:
    made = export_verified(load("neonext_nano", checkpoint=checkpoint), tmp_path, LABELS)
    other = load("neonext_nano").network
    torch.save(other.state_dict(), tmp_path / "other.pt")
    result = jobs.verify(made.path, checkpoint=tmp_path / "other.pt")
    assert not result.verdict.passed
    assert result.verdict.artifact.departure == "stem.conv"
    assert "not the checkpoint that the manifest names (weights.pt)" in result.warnings[0]


def rows(*values: float) -> NDArray[np.float32]:
    return np.asarray([values], dtype=np.float32)


def test_comparison_figures_against_hand_computed_ones() -> None:
    result = compare_logits("x", rows(1.0, 2.0, 3.5), rows(1.0, 2.0, 4.0), FP32)
    assert result.max_abs == 0.5
    assert result.max_rel == 0.125
    assert result.cosine == pytest.approx(19 / np.sqrt(17.25 * 21), rel=1e-7)
    assert (result.top1, result.top5) == (1.0, 1.0)
    assert result.needed == pytest.approx(0.5 / (1e-4 + 1e-3 * 4))
    assert not result.passed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_never_pass(bad: float) -> None:
    result = compare_logits("x", rows(1.0, bad), rows(1.0, bad), FP32)
    assert result.failures == ("NaN or infinity in the output and in the reference (1 of 2): fp32 itself gives them",)
    assert result.to_json()["max_abs"] is None
    alone = compare_logits("x", rows(1.0, bad), rows(1.0, 2.0), FP32)
    assert alone.failures == ("NaN or infinity in the output: 1 number of 2",)


def test_a_changed_first_class_is_excused_only_within_the_difference() -> None:
    close = compare_logits("x", rows(1.00001, 1.0), rows(1.0, 1.00001), FP32)
    assert close.passed
    assert close.top1 == 0.0
    exact = compare_logits("x", rows(1.00001, 1.0), rows(1.0, 1.00001), replace(FP32, top1="exact"))
    assert exact.failures == ("the first class changes on 1 of 1 image",)
    fp16 = TOLERANCES["fp16"]
    far = compare_logits("x", rows(100.0, 1.0, 1.4), rows(100.0, 1.0, 1.0), fp16)
    assert far.passed


def test_noise_is_the_same_everywhere() -> None:
    # First values of the legacy Mersenne Twister stream, which numpy has frozen.
    np.testing.assert_allclose(noise((1, 3), 0), [[1.7640524, 0.4001572, 0.9787380]], rtol=1e-6)
    assert [f.array.shape for f in feeds_for((4, 3, 8, 8), None, [])] == [(4, 3, 8, 8)]


def test_half_precision_cannot_hide_a_changed_constant(tmp_path: Path) -> None:
    # LayerScale of 1e-6 in half precision: no output and no inner point can tell.
    config = replace(VARIANTS["neonext_nano"].config, name="fresh", num_classes=12)
    made = export_verified(load(config), tmp_path, [""] * 12, FileRequest(dtype="fp16"))
    assert jobs.verify(made.path).verdict.passed
    transpose(made.path, "stage3.block1.neocell.right")
    report = jobs.verify(made.path).verdict.artifact
    assert report.changed == ("stage3.block1.neocell.right",)
    assert not report.passed
    assert report.departure == "stage3.block1.neocell.right"


def test_a_file_that_was_only_rewritten_still_passes(nano: OnnxExport) -> None:
    model = onnx.load(str(nano.path))
    model.doc_string = "looked at"
    onnx.save(model, str(nano.path))
    result = jobs.verify(nano.path)
    assert result.verdict.passed
    assert "changed since its export" in result.warnings[0]
