"""A plan: network, recipe and pictures, the variants that change one of them, and the seeds; as trainings to do."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from neonext_ascend.checkpoints.loading import network_config
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.training.recipe import Recipe, given_settings, resolve

PLANS = Path(__file__).parent / "plans"
Norm = Literal["batch", "layer"]
_CHANGES = {"network", "recipe", "norm"}
_KEYS = {"data", "seeds", "network", "recipe", "variants"}


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
        _expect(held, _KEYS, _KEYS - ({"data"} if data else set()))
        trainings = [
            _training(variant, changes, seed, {**held, "data": data or held["data"]})
            for seed in held["seeds"]  # first: where time runs out, each variant has as many
            for variant, changes in held["variants"].items()
        ]
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return Plan(path.stem, tuple(trainings))


def _training(variant: str, changes: Mapping[str, Any], seed: int, held: Mapping[str, Any]) -> Training:
    _expect(changes, _CHANGES, set())
    norm = changes.get("norm", "batch")
    if norm not in get_args(Norm):
        raise UsageError(f"{variant}: norm {norm!r}; expected {' or '.join(get_args(Norm))}")
    network = network_config({**held["network"], **changes.get("network", {})})
    settings = given_settings(None, {**held["recipe"], **changes.get("recipe", {}), "seed": seed})
    return Training(variant, str(held["data"]), network, resolve(network.name, settings), norm)


def _expect(held: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    if wrong := sorted((held.keys() - known) | (needed - held.keys())):
        raise UsageError(f"{', '.join(wrong)} unknown or missing; expected {', '.join(sorted(known))}")
