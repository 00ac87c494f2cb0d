"""The part of a check that needs PyTorch: an artifact against the unfolded network."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.checkpoints.loading import LoadedNetwork, load
from neonext_ascend.errors import ArtifactError, UsageError
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.against_network import ReferenceDtype, check_artifact
from neonext_ascend.verify.parity import OpenWithPoints, ParityReport


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
    loaded, warnings = _network(manifest, checkpoint), []
    if checkpoint is not None and loaded.weights.sha256 != manifest.weights.sha256:
        warnings.append(f"{checkpoint}: not the checkpoint that the manifest names ({manifest.weights.file})")
    _check_points(manifest, loaded.network)
    batch = manifest.inputs[0].shape[0]
    report = check_artifact(
        open_artifact,
        loaded.network,
        dict(manifest.points),
        batch if isinstance(batch, int) else None,
        manifest.preprocessing,
        bounds,
        reference_dtype,
        manifest.layout,
    )
    return report, warnings


def _check_points(manifest: Manifest, network: NeoNeXt) -> None:
    if network.config.image_size != manifest.preprocessing.image_size:
        raise ArtifactError("the manifest's network has another image size than its pictures; export again")
    # A list of parameters is a module to PyTorch, but computes nothing.
    known = {name for name, module in network.named_modules() if not isinstance(module, nn.ParameterList)}
    for point, module in manifest.points.items():
        if module not in known:
            raise ArtifactError(f"the manifest's point {point!r} is of {module!r}, which the network lacks")


def _network(manifest: Manifest, checkpoint: Path | None) -> LoadedNetwork:
    """The network that the artifact was made from."""
    try:
        config = NetworkConfig.from_json(manifest.network)
    except UsageError as error:
        raise ArtifactError(f"the manifest's network cannot be built: {error}") from None
    if checkpoint is not None:
        return load(config, checkpoint=checkpoint)
    return load(config, seed=manifest.weights.seed or 0)
