"""The part of debugging that needs PyTorch: an artifact's own network as the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.jobs.verifying_network import network_of
from neonext_ascend.runtimes.steps import Array
from neonext_ascend.verify.subject import Subject


def network_values(
    path: Path, checkpoint: str | Path | None, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], str]:
    """The unfolded network's inner values by the artifact's names, and the reference in words.

    Raises:
        ArtifactError: the manifest is missing or damaged, or its network cannot be built.
        CheckpointError, FileAccessError: the checkpoint cannot be used.
    """
    manifest = manifest_of(path)
    loaded = network_of(manifest, None if checkpoint is None else Path(checkpoint))
    runner = Subject(loaded.network).runner(manifest.points, layout=manifest.artifact.layout)
    (feed,) = feeds.values()
    values = runner.infer({runner.inputs[0].name: feed.astype(np.float32)})
    return dict(values), "the unfolded network in PyTorch"
