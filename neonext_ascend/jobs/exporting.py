"""From a loaded network to a verified artifact with its manifest: what ``neonext-ascend export`` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx

from neonext_ascend._version import __version__
from neonext_ascend.artifacts.manifest import ArtifactFile, Manifest, Weights, manifest_path
from neonext_ascend.artifacts.staging import staging
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.errors import ParityError
from neonext_ascend.exporters.onnx_file.export import DEFAULT_OPSET, OnnxArtifact, export_onnx
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.machine.environment import versions
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.passes.base import Report
from neonext_ascend.passes.form import GraphForm
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.registry import opener
from neonext_ascend.spec import TOLERANCES, Dtype
from neonext_ascend.verify.against_network import check_artifact, reference_runner, twin_of
from neonext_ascend.verify.parity import Verdict, stored_reference

DEFAULT_FORM = GraphForm()
# Shows that long work goes on; given the work's name.
Progress = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Deployment:
    """What was made: files, manifest, what preparation did, and the verdict (``None`` where not asked for)."""

    path: Path
    manifest_path: Path
    manifest: Manifest
    report: Report
    verdict: Verdict | None


class ParityFailedError(ParityError):
    """The artifact's numbers differ; carries the verdict. Nothing was left under the final name."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


def artifact_name(config: NetworkConfig, batch_size: int | None, dtype: Dtype) -> str:
    """``neonext_t-224-b1-fp32.onnx``."""
    batch = "bdyn" if batch_size is None else f"b{batch_size}"
    return f"{config.name}-{size_text(config.image_size)}-{batch}-{dtype}.onnx"


def export_verified(
    loaded: LoadedNetwork,
    folder: Path,
    labels: Sequence[str],
    *,
    batch_size: int | None = 1,
    opset: int = DEFAULT_OPSET,
    dtype: Dtype = "fp32",
    form: GraphForm = DEFAULT_FORM,
    verify: bool = True,
    command: Sequence[str] = (),
    progress: Progress = lambda _: nullcontext(),
) -> Deployment:
    """Export, check against the unfolded network, and only then give the files their names.

    Args:
        loaded: the network.
        folder: of the artifact; created where absent.
        labels: one for each class.
        batch_size: ``None`` for a dynamic batch.
        opset: 11 to 18.
        dtype: of weights, input and output.
        form: layout and lowering.
        verify: whether to check.
        command: recorded in the manifest.
        progress: wraps each long step.

    Raises:
        ParityFailedError: the numbers differ.
        UsageError, FileAccessError: as of :func:`export_onnx`.
    """
    config, network = loaded.network.config, loaded.network
    name = artifact_name(config, batch_size, dtype)
    with staging(folder) as stage:
        with progress(f"preparing and exporting {config.name}"):
            deployed, report = prepare(network, defer=True, layout=form.layout, lowering=form.lowering)
            artifact = export_onnx(
                deployed,
                stage.folder / name,
                batch_size=batch_size,
                opset=opset,
                dtype=dtype,
                metadata=_metadata(config, loaded.weights),
            )
        verdict, reference = None, None
        if verify:
            with progress(f"checking {name} against PyTorch"):
                verdict, reference = _check(loaded, artifact, stage.folder, opset, batch_size, form)
            if not verdict.passed:
                raise ParityFailedError(f"{name}: parity failed; nothing was written", verdict)
        manifest = _manifest(loaded, artifact, form, report, verdict, reference, labels, command)
        manifest.write(manifest_path(stage.folder / name))
        # The manifest last: an artifact without one is incomplete, a manifest without its artifact is wrong.
        names = [file.path.name for file in reversed(artifact.files)]
        stage.publish(*names, manifest_path(Path(name)).name)
        if len(artifact.files) == 1:
            (folder / f"{name}.data").unlink(missing_ok=True)  # an earlier, larger export's
    final = folder.absolute() / name
    return Deployment(final, manifest_path(final), manifest, report, verdict)


def _check(
    loaded: LoadedNetwork,
    artifact: OnnxArtifact,
    folder: Path,
    opset: int,
    batch_size: int | None,
    form: GraphForm,
) -> tuple[Verdict, dict[str, Any]]:
    config, points = loaded.network.config, dict(artifact.points)
    tolerance = TOLERANCES[artifact.dtype]
    preprocessing = preprocessing_for(config.name, config.image_size)
    report = check_artifact(
        opener(artifact.files[0].path, "ort"),
        loaded.network,
        points,
        batch_size,
        preprocessing,
        tolerance,
        layout=form.layout,
    )
    runner = reference_runner(loaded.network, points, layout=form.layout)
    reference = stored_reference(runner, artifact.inputs[0].shape, list(points))
    twin_report = None
    if not loaded.weights.trained:
        twin = twin_of(loaded.network)
        deployed: fx.GraphModule = prepare(twin, defer=True, layout=form.layout, lowering=form.lowering)[0]
        path = folder / f"twin-{artifact.files[0].path.name}"
        try:
            export_onnx(deployed, path, batch_size=batch_size, opset=opset, dtype=artifact.dtype)
            twin_report = check_artifact(
                opener(path, "ort"), twin, points, batch_size, None, tolerance, layout=form.layout
            )
        finally:
            path.unlink(missing_ok=True)
    return Verdict(report, twin_report), reference


def _metadata(config: NetworkConfig, weights: Weights) -> dict[str, str]:
    preprocessing = preprocessing_for(config.name, config.image_size)
    return {
        "model": config.name,
        "definition": config.definition,
        "shifts": ",".join(str(int(s)) for s in config.shifts),
        "image_size": size_text(config.image_size),
        "normalisation_mean": ",".join(map(str, preprocessing.mean)),
        "normalisation_std": ",".join(map(str, preprocessing.std)),
        "weights": f"NeoInit seed {weights.seed}, untrained" if weights.source == "seed" else str(weights.file),
        "checkpoint_sha256": weights.sha256 or "",
        "tool": f"neonext-ascend {__version__}",
    }


def _manifest(
    loaded: LoadedNetwork,
    artifact: OnnxArtifact,
    form: GraphForm,
    report: Report,
    verdict: Verdict | None,
    reference: dict[str, Any] | None,
    labels: Sequence[str],
    command: Sequence[str],
) -> Manifest:
    config = loaded.network.config
    return Manifest(
        files=tuple(ArtifactFile(f.path.name, f.sha256, f.nbytes) for f in artifact.files),
        format="onnx",
        dtype=artifact.dtype,
        opset=artifact.opset,
        layout=form.layout,
        layout_reason=form.reason,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        network=config.to_json(),
        weights=loaded.weights,
        preprocessing=preprocessing_for(config.name, config.image_size),
        labels=tuple(labels),
        points=artifact.points,
        checksums=artifact.checksums,
        passes=report.to_json(),
        parity=None if verdict is None else verdict.to_json(),
        reference=reference,
        tool=f"neonext-ascend {__version__}",
        environment={**versions(), "torch_threads": str(torch.get_num_threads())},
        command=tuple(command),
    )
