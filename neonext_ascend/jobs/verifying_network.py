"""The part of a check that needs PyTorch: an artifact, or a prepared network, against the unfolded one."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.checkpoints.loading import LoadedNetwork, load, network_config
from neonext_ascend.errors import ArtifactError, CheckpointError, UsageError
from neonext_ascend.jobs.verifying import Options, Verification
from neonext_ascend.models.features import Network
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.spec import Dtype, Tolerance
from neonext_ascend.verify.parity import OpenWithPoints, ParityReport, Verdict
from neonext_ascend.verify.subject import ReferenceDtype, Subject, subjects, tensors_of


def check_with_network(
    manifest: Manifest,
    checkpoint: Path | None,
    open_artifact: OpenWithPoints,
    bounds: Tolerance,
    reference_dtype: ReferenceDtype,
) -> tuple[ParityReport, list[str]]:
    """The artifact against the network that its manifest describes, and what the user should know.

    Raises:
        ArtifactError: the manifest's network cannot be built.
        CheckpointError, FileAccessError: the checkpoint cannot be used.
    """
    loaded, warnings = network_of(manifest, checkpoint)
    batch = manifest.inputs[0].shape[0]
    checked = Subject(loaded.network, manifest.preprocessing).check(
        open_artifact,
        bounds,
        batch_size=batch if isinstance(batch, int) else None,
        points=manifest.points,
        reference_dtype=reference_dtype,
        layout=manifest.artifact.layout,
    )
    return checked.report, warnings


def verify_network(what: str, loaded: LoadedNetwork, options: Options, dtype: Dtype) -> Verification:
    """The prepared network against the unfolded one in PyTorch, both on noise; with a twin where untrained.

    Args:
        what: the network, in the user's words.
        loaded: the network.
        options: how; the runtime is ``npu`` for torch_npu, anything else for the CPU.
        dtype: in which the NPU computes; the CPU computes in fp32.

    Raises:
        ToolchainError: torch_npu or its device is missing.
    """
    bounds, where = options.bounds(dtype if options.runtime == "npu" else "fp32"), ""
    reports = []
    for subject in subjects(loaded.network, trained=loaded.weights.trained):
        with _prepared(subject.network, options, dtype) as candidate:
            where = candidate.where
            checked = subject.check(lambda _: candidate, bounds, reference_dtype=options.reference)
        reports.append(checked.report)
    against = f"the unfolded network in PyTorch, {options.reference}"
    return Verification(what, Verdict.of(reports), against, where, tuple(loaded.notes))


def _prepared(network: Network, options: Options, dtype: Dtype) -> Runner:
    deployed, tensors = prepare(network)[0], tensors_of(network)
    if options.runtime != "npu":
        return EagerRunner(deployed, *tensors)
    from neonext_ascend.runtimes.npu import NpuRunner

    return NpuRunner(deployed, *tensors, dtype=dtype, device=options.device)


def _check_points(manifest: Manifest, network: Network) -> None:
    if network.config.image_size != manifest.preprocessing.image_size:
        raise ArtifactError("the manifest's network has another image size than its pictures; export again")
    # A list of parameters is a module to PyTorch, but computes nothing.
    known = {name for name, module in network.named_modules() if not isinstance(module, nn.ParameterList)}
    for point, module in manifest.points.items():
        if module not in known:
            raise ArtifactError(f"the manifest's point {point!r} is of {module!r}, which the network lacks")


def network_of(manifest: Manifest, checkpoint: Path | None) -> tuple[LoadedNetwork, list[str]]:
    """The network that an artifact was made from, and what the user should know.

    Raises:
        ArtifactError: it cannot be built, or is not the manifest's.
        CheckpointError, FileAccessError: the checkpoint cannot be used.
    """
    try:
        config = network_config(manifest.network)
    except UsageError as error:
        raise ArtifactError(f"the manifest's network cannot be built: {error}") from None
    warnings: list[str] = []
    if checkpoint is None:
        if manifest.weights.source == "checkpoint":
            raise ArtifactError(
                f"{manifest.artifact.files[0].name}: made from the weights in {manifest.weights.file}; give it with "
                "--checkpoint"
            )
        loaded = load(config, seed=manifest.weights.seed or 0)
    else:
        loaded = load(config, checkpoint=checkpoint)
        if loaded.network.config.num_classes != config.num_classes:
            raise CheckpointError(
                f"{checkpoint}: holds {loaded.network.config.num_classes} classes, the artifact {config.num_classes}; "
                f"give the checkpoint that it was made from ({manifest.weights.file})"
            )
        if loaded.weights.sha256 != manifest.weights.sha256:
            named = f"{checkpoint}: not the checkpoint that the manifest names ({manifest.weights.file})"
            warnings = [named, *loaded.notes]
    if manifest.features is not None:
        loaded = loaded.with_maps(manifest.features.layout)
    _check_points(manifest, loaded.network)
    return loaded, warnings
