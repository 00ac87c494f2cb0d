"""The part of debugging that needs PyTorch: an artifact's own network, written once more, as the reference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.verifying_network import network_of
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.verify.layers import Layers
from neonext_ascend.verify.subject import Subject


def fresh_graph(path: Path, checkpoint: str | Path | None) -> tuple[Steps, Layers]:
    """The artifact's network as this program writes it now, in the same form, and its layers.

    Raises:
        ArtifactError: the manifest is missing or damaged, or its network cannot be built.
        CheckpointError, FileAccessError: the checkpoint cannot be used.
    """
    manifest = manifest_of(path)
    loaded, _ = network_of(manifest, None if checkpoint is None else Path(checkpoint))
    with TemporaryDirectory() as folder:
        made, _ = FileRequest.of(manifest).emit(Subject(loaded.network), Path(folder) / "fresh.onnx")
        return Steps(made.files[0].path), Layers(loaded.network)
