"""From a loaded network to a verified ONNX file with its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from neonext_ascend._version import __version__
from neonext_ascend.artifacts.manifest import Artifact, ArtifactFile, FeatureMaps, Manifest, Weights, manifest_path
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.errors import ParityError
from neonext_ascend.exporters.onnx_file.export import OnnxArtifact
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.gating import Gated, GateRefusedError, GateRequest, Simulated, gate
from neonext_ascend.jobs.making.keeping_fp32 import kept_by_gate, to_keep
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.environment import versions
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.models.features import NeoNeXtFeatures, Network
from neonext_ascend.passes.base import Report
from neonext_ascend.precision.half import OVERFLOWS
from neonext_ascend.verify.half import judge_half
from neonext_ascend.verify.parity import Checked, Verdict
from neonext_ascend.verify.subject import Subject, subjects


@dataclass(frozen=True)
class OnnxExport:
    """What was made: files, manifest, what preparation did, and the verdict (``None`` where not asked for)."""

    path: Path
    manifest_path: Path
    manifest: Manifest
    report: Report
    verdict: Verdict | None
    gated: Gated | None = None

    def to_json(self) -> dict[str, Any]:
        """The artifact's entry in ``--json``."""
        return {
            **artifact_json(self.path, self.manifest),
            "keep_fp32": list(self.manifest.artifact.keep_fp32),
            "external_data": [file.name for file in self.manifest.artifact.files[1:]],
            "parity": self.verdict and self.verdict.to_json(),
            "gate": self.gated and self.gated.to_json(),
            **({} if self.manifest.int8 is None else {"int8": dict(self.manifest.int8)}),
        }


def artifact_json(path: Path, manifest: Manifest) -> dict[str, Any]:
    """What every artifact's entry in ``--json`` holds."""
    made = manifest.artifact
    return {
        "path": str(path.absolute()),
        "manifest": str(manifest_path(path).absolute()),
        "format": made.format,
        "dtype": made.dtype,
        "opset": made.opset,
        "layout": made.layout,
        "gelu": made.gelu,
        "sha256": made.files[0].sha256,
        "bytes": made.files[0].bytes,
        "trained": manifest.weights.trained,
    }


class ParityFailedError(ParityError):
    """The artifact's numbers differ; carries the verdict. Nothing was left under the final name."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Orders:
    """What is asked of an ONNX file beside its form.

    Args:
        verify: whether to check it, where untrained its twin as well.
        rescue: whether to find the nodes that must compute in fp32, where half precision fails.
        gate: what accuracy it has to keep.
    """

    verify: bool = True
    rescue: bool = False
    gate: GateRequest | None = None


DEFAULT, CHECKED = FileRequest(), Orders()


def export_verified(
    loaded: LoadedNetwork,
    folder: Path,
    labels: Sequence[str],
    request: FileRequest = DEFAULT,
    orders: Orders = CHECKED,
    *,
    command: Sequence[str] = (),
    watch: Watch = SILENT,
) -> OnnxExport:
    """For each subject prepare, emit and check; only then give the first one's files their names.

    Args:
        loaded: the network.
        folder: of the artifact; created where absent.
        labels: one for each class.
        request: how the file is to be.
        orders: what is asked of it.
        command: recorded in the manifest.
        watch: told of each long step.

    Raises:
        ParityFailedError, GateRefusedError: the numbers differ, or the accuracy drops.
        UsageError, FileAccessError: as of :func:`export_onnx`.
    """
    config, name = loaded.network.config, request.name(loaded.network)
    preprocessing = preprocessing_for(config.name, config.image_size)
    made: list[tuple[OnnxArtifact, Report]] = []
    checks: list[Checked] = []
    with staged(folder) as stage:
        for subject in subjects(
            loaded.network, trained=loaded.weights.trained or not orders.verify, preprocessing=preprocessing
        ):
            path, metadata = stage.folder / (f"twin-{name}" if made else name), _metadata(config, loaded.weights)
            with watch.working(f"preparing and exporting {config.name}"):
                made.append(request.emit(subject, path, metadata))
            if orders.verify:
                with watch.working(f"checking {name} against PyTorch"):
                    checks.append(request.check(subject, made[-1][0]))
        verdict = Verdict.of([checked.report for checked in checks]) if checks else None
        if verdict is not None and request.dtype == "fp16":
            with watch.working(f"computing {name} in half precision, node by node"):
                feeds = Subject(loaded.network, preprocessing).feeds(request.batch_size)
                verdict = replace(verdict, half=judge_half(made[0][0].files[0].path, feeds, OVERFLOWS))
        if orders.rescue and verdict is not None and not all(half.passed for half in verdict.half):
            subject = Subject(loaded.network, preprocessing)
            keep = to_keep(subject, request, stage.folder, watch)
            if set(keep) > set(request.keep_fp32):
                again = replace(request, keep_fp32=keep)
                return export_verified(loaded, folder, labels, again, orders, command=command, watch=watch)
        if verdict is not None and not verdict.passed:
            raise ParityFailedError(f"{name}: {verdict.failure}; nothing was written", verdict)
        artifact, report = made[0]
        manifest = Manifest(
            artifact=Artifact(
                format="onnx",
                dtype=artifact.dtype,
                opset=artifact.opset,
                layout=request.form.layout,
                layout_reason=request.form.reason,
                keep_fp32=request.keep_fp32,
                gelu=request.gelu,
                files=tuple(ArtifactFile(f.path.name, f.sha256, f.nbytes) for f in artifact.files),
            ),
            inputs=artifact.inputs,
            outputs=artifact.outputs,
            network=config.to_json(),
            weights=loaded.weights,
            preprocessing=preprocessing,
            labels=tuple(labels),
            points=artifact.points,
            checksums=artifact.checksums,
            passes=report.to_json(),
            parity=None if verdict is None else verdict.to_json(),
            reference=checks[0].stored if checks else None,
            tool=f"neonext-ascend {__version__}",
            environment={**versions(), "torch_threads": str(torch.get_num_threads())},
            command=tuple(command),
            features=feature_maps(loaded.network),
        )
        manifest.write(manifest_path(stage.folder / name))
        gated = None
        if orders.gate is not None:
            subject = Subject(loaded.network, preprocessing)
            try:
                simulated = Simulated() if request.dtype == "fp16" else None
                gated = gate(subject, stage.folder / name, orders.gate, watch, simulated)
            except GateRefusedError as refused:
                if not orders.rescue:
                    raise

                def asked(form: FileRequest) -> OnnxExport:
                    tried = Orders(verify=False, gate=orders.gate)
                    return export_verified(loaded, stage.folder / "tried", labels, form, tried, watch=watch)

                again = kept_by_gate(subject, request, refused, asked, stage.folder, watch)
                checked = replace(orders, rescue=False)
                return export_verified(loaded, folder, labels, again, checked, command=command, watch=watch)
        # The manifest last: an artifact without one is incomplete, a manifest without its artifact is wrong.
        names = [file.path.name for file in reversed(artifact.files)]
        stage.publish(*names, manifest_path(Path(name)).name)
        if len(artifact.files) == 1:
            (folder / f"{name}.data").unlink(missing_ok=True)  # an earlier, larger export's
    final = folder.absolute() / name
    return OnnxExport(final, manifest_path(final), manifest, report, verdict, gated)


def feature_maps(network: Network) -> FeatureMaps | None:
    """What the maps are that a network gives; ``None`` where it gives logits."""
    if not isinstance(network, NeoNeXtFeatures):
        return None
    info = network.feature_info
    return FeatureMaps(network.layout, info.widths, info.strides)


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
