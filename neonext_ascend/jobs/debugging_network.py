"""The part of debugging that needs PyTorch: an artifact's own network, written once more, as the reference."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.data import sample_pictures
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.verifying_network import network_of
from neonext_ascend.precision.int8.balancing import balanced_as
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.verify.feeds import feeds_for
from neonext_ascend.verify.layers import Layers
from neonext_ascend.verify.subject import Subject


def fresh_graph(path: Path, checkpoint: str | Path | None) -> tuple[Steps, Layers, Array | None]:
    """The artifact's network as this program writes it now, in the same form, and its layers.

    Of an int8 file it is float32, balanced as that was; and a picture comes with it, beyond which int8 need not reach.

    Raises:
        ArtifactError: the manifest is missing or damaged, or its network cannot be built.
        CheckpointError, FileAccessError: the checkpoint cannot be used.
    """
    manifest = manifest_of(path)
    loaded, _ = network_of(manifest, None if checkpoint is None else Path(checkpoint))
    with TemporaryDirectory() as folder:
        fresh = Path(folder) / "fresh.onnx"
        FileRequest.of(manifest).emit(Subject(loaded.network), fresh)
        if manifest.int8 is None:
            return Steps(fresh), Layers(loaded.network), None
        onnx.save(balanced_as(load_model(fresh), manifest.int8.get("balanced") or {}), fresh)
        *_, picture = feeds_for(manifest.inputs[0].shape, manifest.preprocessing, sample_pictures(), batches=(1,))
        return Steps(fresh), Layers(loaded.network), picture.array
