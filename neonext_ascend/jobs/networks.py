"""The networks that a job is about: by name, configuration or checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neonext_ascend.checkpoints.loading import LoadedNetwork, load, read_config
from neonext_ascend.errors import UsageError
from neonext_ascend.jobs.checking import Model, Size
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.models.arguments import image_size_of


def load_networks(
    model: Model,
    *,
    config: str | Path | None,
    checkpoint: str | Path | None,
    sizes: Sequence[Size | None],
    num_classes: int | None,
    seed: int,
    watch: Watch,
) -> list[LoadedNetwork]:
    """One network for each image size (``None``: its own); what the user should know of them is told at once.

    Raises:
        UsageError, CheckpointError, FileAccessError: as of :func:`neonext_ascend.checkpoints.loading.load`.
    """
    if model is not None and config is not None:
        raise UsageError(f"both MODEL {model} and --config {config}; give one")
    described = model if config is None else read_config(Path(config))
    path = None if checkpoint is None else Path(checkpoint)
    loads = [
        load(
            described,
            checkpoint=path,
            image_size=None if size is None else image_size_of(size),
            num_classes=num_classes,
            seed=seed,
        )
        for size in sizes
    ]
    for text in dict.fromkeys(text for loaded in loads for text in loaded.notes):
        (watch.warn if "shifts" in text else watch.note)(text)
    return loads
