"""A plan: network, recipe and pictures, the variants that change one of them, and the seeds; as trainings to do."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from neonext_ascend.artifacts.strict import check
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.checkpoints.loading import network_config
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import OPTIONAL, Bounds
from neonext_ascend.training.recipe import Recipe, given_settings, resolve

PLANS = Path(__file__).parent / "plans"
Norm = Literal["batch", "layer"]
_S = TypeVar("_S")


@dataclass(frozen=True, slots=True)
class _File:
    """A plan, as its file holds it."""

    data: str
    seeds: Annotated[tuple[int, ...], Bounds(min_length=1)]
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    variants: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Changes:
    """What a variant changes, as the file holds it."""

    network: Mapping[str, Any] = field(default_factory=dict, metadata=OPTIONAL)
    recipe: Mapping[str, Any] = field(default_factory=dict, metadata=OPTIONAL)
    norm: Norm = field(default="batch", metadata=OPTIONAL)


@dataclass(frozen=True, slots=True)
class Training:
    """One of a plan's trainings.

    Args:
        variant: in words.
        data: as ``neonext-ascend train --data`` takes it.
        network, recipe: what is trained, and how; the recipe holds the seed.
        norm: ``layer`` puts LayerNorm over the channels where BatchNorm stands.
    """

    variant: str
    data: str
    network: NetworkConfig
    recipe: Recipe
    norm: Norm

    @property
    def stem(self) -> str:
        """A file's name that only this training has: what it is, and a digest of all that decides it."""
        decided = json.dumps({**asdict(self), "variant": None}, sort_keys=True)
        digest = hashlib.sha256(decided.encode()).hexdigest()[:8]
        return f"{re.sub('[^a-z0-9]+', '_', self.variant.lower())}-{self.recipe.seed}-{digest}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared.

    Args:
        name: of its results.
        trainings: for each seed one of each variant; with the first variant the others are compared.
    """

    name: str
    trainings: tuple[Training, ...]

    @property
    def variants(self) -> tuple[str, ...]:
        """In the plan's order."""
        return tuple(dict.fromkeys(training.variant for training in self.trainings))


def read_plan(path: Path, data: str | None = None) -> Plan:
    """A plan from TOML.

    Args:
        path: the file.
        data: pictures in place of the plan's own.

    Raises:
        FileAccessError: it cannot be read.
        UsageError: it is no plan.
    """
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the plan: {error.strerror}") from None
    except ValueError as error:  # TOML's own and UTF-8's errors
        raise UsageError(f"{path}: not TOML: {error}") from None
    try:
        file = _struct(_File, {**held, **({} if data is None else {"data": data})})
        if len(set(file.seeds)) < len(file.seeds):
            raise UsageError("seeds names one twice; name each once")
        if not file.variants:
            raise UsageError("variants is empty; expected one or more")
        trainings = [
            _training(variant, changes, seed, file)
            for seed in file.seeds  # first: where time runs out, each variant has as many
            for variant, changes in file.variants.items()
        ]
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return Plan(path.stem, tuple(trainings))


def _training(variant: str, changes: object, seed: int, file: _File) -> Training:
    own = _struct(_Changes, changes, f"variants.{variant}: ")
    recipe = {**file.recipe, **own.recipe}
    if "seed" in recipe:
        raise UsageError("recipe.seed: is one of seeds; leave it out")
    network = network_config({**file.network, **own.network})
    settings = given_settings(None, {**recipe, "seed": seed})
    return Training(variant, file.data, network, resolve(network.name, settings), own.norm)


def _struct(kind: type[_S], data: object, where: str = "") -> _S:
    try:
        return struct(kind, check(kind, data, closed=True))
    except ValueError as error:
        raise UsageError(f"{where}{error}") from None
