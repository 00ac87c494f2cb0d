"""A folder in Hugging Face's form: ``config.json`` and ``model.safetensors``, with a card for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.errors import CheckpointError, FileAccessError, UsageError
from neonext_ascend.models.config import NetworkConfig

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
# What config.json says of whose it is, in Hugging Face's words.
MODEL_TYPE = "neonext"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the weights lie, and the network's configuration as it stands in ``config.json``, not checked yet."""

    weights: Path
    network: Mapping[str, Any]

    def describe(
        self, parse: Callable[[Mapping[str, Any]], NetworkConfig], asked: NetworkConfig | None
    ) -> NetworkConfig:
        """The network's configuration, or the one that was asked for where they agree: shifts, too, stand here.

        Raises:
            CheckpointError: it is none, or contradicts.
        """
        where = self.weights.parent / CONFIG
        try:
            own = parse(self.network)
        except UsageError as error:
            raise CheckpointError(f"{where}: {error}") from None
        for name in ("definition", "depths", "widths", "cells", "shifts") if asked else ():
            if getattr(own, name) != (other := getattr(asked, name)):
                told = f"{name} {getattr(own, name)} in place of {other}"
                raise CheckpointError(f"{where}: describes {own.name}, with {told}; leave MODEL out")
        return asked or own

    def refuse_other_classes(self, found: int) -> None:
        """Compare with the number of classes in the weights.

        Raises:
            CheckpointError: ``config.json`` tells another.
        """
        if (told := self.network.get("num_classes")) != found:
            where = self.weights.parent / CONFIG
            raise CheckpointError(
                f"{where}: tells {told} classes, {WEIGHTS} holds {found}; copy the whole folder again"
            )


def folder_at(path: Path) -> Folder | None:
    """The folder; ``None`` where ``path`` is no folder with a ``config.json``.

    Raises:
        FileAccessError: it lacks its weights, or a file cannot be read.
        CheckpointError: its ``config.json`` is of something else.
    """
    config, weights = path / CONFIG, path / WEIGHTS
    if not path.is_dir() or not config.exists():
        return None
    FileAccessError.refuse_special(config, "a network's configuration")
    try:
        data: Any = json.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileAccessError(f"{config}: cannot read it: {error.strerror}") from None
    except (ValueError, RecursionError):  # JSON's own and UTF-8's errors are ValueErrors
        raise CheckpointError(f"{config}: not JSON; copy the folder again") from None
    kind = data.get("model_type") if isinstance(data, dict) else None
    network = data.get("network") if isinstance(data, dict) else None
    if kind != MODEL_TYPE or not isinstance(network, dict):
        raise CheckpointError(f"{config}: of model_type {str(kind)[:40]!r}; expected {MODEL_TYPE!r} with its network")
    if not weights.exists():
        raise FileAccessError(f"{path}: lacks {WEIGHTS}; copy the whole folder again")
    return Folder(weights, network)
