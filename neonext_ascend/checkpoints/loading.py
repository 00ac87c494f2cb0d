"""A network by name, configuration file or checkpoint, with its weights and where they come from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

from neonext_ascend.artifacts.manifest import Weights
from neonext_ascend.artifacts.names import readable
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.checkpoints.folder import folder_at
from neonext_ascend.checkpoints.reading import Checkpoint, load_network, read_checkpoint
from neonext_ascend.data import NANO_WEIGHTS, data_path
from neonext_ascend.errors import CheckpointError, FileAccessError, UsageError
from neonext_ascend.models.arguments import folder_path, image_size_of, shown, whole_number
from neonext_ascend.models.config import DEFINITIONS, NetworkConfig, with_image_size
from neonext_ascend.models.features import NeoNeXtFeatures, Network
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.models.variants import VARIANTS, find_variant
from neonext_ascend.spec import MapLayout

PACKAGED = "neonext_nano"
_MOST_CLASSES = 10**6
_ENDLESS = re.compile(r"\d[\d_]{4299}")


@dataclass(frozen=True)
class LoadedNetwork:
    """A network in evaluation mode, the origin of its weights, and what the user should know."""

    network: Network
    weights: Weights
    notes: tuple[str, ...]

    def with_maps(self, layout: MapLayout) -> LoadedNetwork:
        """The same, giving the maps of its stages in place of logits."""
        assert isinstance(self.network, NeoNeXt)
        return replace(self, network=NeoNeXtFeatures(self.network, layout))


def load(
    model: str | NetworkConfig | None = None,
    *,
    checkpoint: Path | None = None,
    image_size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> LoadedNetwork:
    """Build a network and give it its weights.

    Args:
        model: a name of :data:`~neonext_ascend.models.variants.VARIANTS`, a configuration, or ``None`` to let the
            checkpoint decide.
        checkpoint: its weights, a file or a folder in Hugging Face's form; without one ``neonext_nano`` takes the
            packaged ones, any other NeoInit's.
        image_size: height and width in pixels, where not the model's own.
        num_classes: must not contradict the checkpoint.
        seed: of NeoInit.

    Raises:
        UsageError: an unknown name, a size or class count that cannot be.
        CheckpointError: the checkpoint holds something else.
        FileAccessError: the checkpoint cannot be read.
    """
    # What needs no file comes first: a usage error is reported before a large file is read.
    if not isinstance(model, (str, NetworkConfig, type(None))):
        raise UsageError(f"model {shown(model)}: expected a name, such as neonext_t, or a NetworkConfig")
    seed = whole_number(seed, "seed", least=0)
    if image_size is not None:
        image_size = image_size_of(image_size)
    if num_classes is not None:
        num_classes = whole_number(num_classes, "num_classes", most=_MOST_CLASSES)
    config = find_variant(model).config if isinstance(model, str) else model
    folder = None if checkpoint is None else folder_at(checkpoint)
    if folder is not None:
        config, checkpoint = folder.describe(network_config, config), folder.weights
    if config is None and checkpoint is None:
        raise UsageError("neither a model nor a checkpoint; name one of neonext-ascend list")
    notes: list[str] = []
    if config is not None and image_size is not None:
        notes += _size_notes(config, image_size)
        config = with_image_size(config, image_size)
    if config is not None:
        config.stage_sizes()
    packaged = checkpoint is None and config is not None and config == _packaged(config)
    if checkpoint is None and not packaged:
        assert config is not None
        config = config if num_classes is None else replace(config, num_classes=num_classes)
        return LoadedNetwork(_build(config, seed), Weights("seed", seed=seed), tuple(notes))
    held = read_checkpoint(data_path(NANO_WEIGHTS) if checkpoint is None else checkpoint)
    if folder is not None:
        folder.refuse_other_classes(held.contents.num_classes)
    if config is None:
        config = _identify(held)
        if image_size is not None:
            notes += _size_notes(config, image_size)
            config = with_image_size(config, image_size)
    if num_classes is not None and num_classes != held.contents.num_classes:
        raise UsageError(
            f"{num_classes} classes asked for, but {held.path.name} holds {held.contents.num_classes}; "
            "leave --num-classes out: the weights decide"
        )
    network = load_network(config, held)
    weights = Weights("package" if packaged else "checkpoint", readable(held.path.name), held.sha256, None)
    return LoadedNetwork(network, weights, (*notes, *held.notes))


@overload
def create(
    model: str | NetworkConfig,
    *,
    checkpoint: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
    features: Literal[False] = False,
) -> NeoNeXt: ...


@overload
def create(
    model: str | NetworkConfig,
    *,
    checkpoint: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
    features: Literal[True],
) -> NeoNeXtFeatures: ...


def create(
    model: str | NetworkConfig,
    *,
    checkpoint: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
    features: bool = False,
) -> Network:
    """A network in evaluation mode; other arguments and errors are those of :func:`load`.

    Args:
        features: whether to give the four stages' maps in place of logits
            (:class:`~neonext_ascend.models.features.NeoNeXtFeatures`).
    """
    path = None if checkpoint is None else folder_path(checkpoint, "checkpoint")
    size = None if image_size is None else image_size_of(image_size)
    loaded = load(model, checkpoint=path, image_size=size, num_classes=num_classes, seed=seed)
    return (loaded.with_maps("nchw") if features else loaded).network


def read_config(path: Path) -> NetworkConfig:
    """A network of one's own from a TOML file with the fields of :class:`NetworkConfig`.

    Raises:
        FileAccessError: the file cannot be read.
        UsageError: it is not TOML or not a network.
    """
    try:
        FileAccessError.refuse_special(path, "a TOML file")
        text = path.read_text(encoding="utf-8")
        for endless in _ENDLESS.finditer(text):  # Python refuses it without saying where
            line = 1 + text.count("\n", 0, endless.start())
            raise UsageError(f"{path}: not TOML: a number of very many digits (at line {line})")
        data: Mapping[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the configuration: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # TOML's own and UTF-8's errors are ValueErrors
        raise UsageError(f"{path}: not TOML: {error}") from None
    try:
        config = network_config(data)
        if config.name == PACKAGED and config != _packaged(config):
            raise UsageError(f"name {PACKAGED!r} belongs to the packaged network; give your own another")
        return config
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def network_config(data: Mapping[str, Any]) -> NetworkConfig:
    """The network that a parsed ``--config`` file or a manifest describes.

    Raises:
        UsageError: a field is missing, unknown, or not what a network can have.
    """
    from neonext_ascend.artifacts.strict import check

    try:
        given = check(NetworkConfig, data, closed=True)
    except ValueError as error:
        raise UsageError(str(error)) from None
    size, traits = given.get("image_size", 224), DEFINITIONS[given["definition"]]
    free = {"cells": traits.cells, "shifts": (True, True, True, False)}
    return struct(NetworkConfig, {**free, **given, "image_size": (size, size) if isinstance(size, int) else size})


def _build(config: NetworkConfig, seed: int) -> NeoNeXt:
    try:
        return build(config, seed)
    except RuntimeError as error:  # torch's way to say it
        if "can't allocate memory" in str(error):
            raise MemoryError from None
        raise


def _packaged(config: NetworkConfig) -> NetworkConfig:
    """The packaged network's configuration at this image size."""
    return replace(VARIANTS[PACKAGED].config, image_size=config.image_size)


def _size_notes(config: NetworkConfig, image_size: tuple[int, int]) -> list[str]:
    """A warning where a published network of that size differs in its shifts."""
    side = image_size[0] if image_size[0] == image_size[1] else None
    base, _, definition = config.name.partition(".")
    family = re.sub(r"_\d+$", "", base)
    own = (family if side == 224 else f"{family}_{side}") + (f".{definition}" if definition else "")
    other = VARIANTS.get(own)
    if other is None or other.config.shifts == config.shifts:
        return []
    return [
        f"{config.name} at {side} keeps its shifts {_shifts(config)}; the published {side} network is {own} "
        f"with {_shifts(other.config)}"
    ]


def _identify(held: Checkpoint) -> NetworkConfig:
    names = held.contents.fitting()
    if len(names) == 1:
        return VARIANTS[names[0]].config
    if names:
        raise CheckpointError(
            f"{held.path}: it fits {' and '.join(names)}; they differ in shifts or image size, which a checkpoint does "
            f"not tell: name the one it was trained as"
        )
    fields = held.contents.as_toml().strip().replace("\n", "\n    ")
    raise CheckpointError(
        f"{held.path}: holds {held.contents.label()}; give --config FILE.toml with (check shifts and image size):"
        f"\n    {fields}"
    )


def _shifts(config: NetworkConfig) -> str:
    return ",".join(str(int(shift)) for shift in config.shifts)
