"""The recipe: every setting that decides which weights come out, as data; the paper's Table 2 by default."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from neonext_ascend.artifacts.structs import struct
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.spec import OPTIONAL, Bounds

_T = TypeVar("_T")
_DEFAULTS = Path(__file__).with_name("recipes.toml")

Share = Annotated[float, Bounds(ge=0, le=1)]
_Below1 = Annotated[float, Bounds(ge=0, le=0.999999)]
_Free = Annotated[float, Bounds(ge=0, le=1e6)]
_Count = Annotated[int, Bounds(ge=1, le=10**6)]
_Steps = Annotated[int, Bounds(ge=0, le=10**6)]
Init = Literal["neoinit", "random"]
Precision = Literal["fp32", "bf16", "fp16"]
Compiler = Literal["none", "inductor", "aot_eager"]


def _setting(value: _T, text: str) -> _T:
    """A field with its help."""
    made: _T = field(default=value, metadata={**OPTIONAL, "help": text})
    return made


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights, with what a run is given: network, pictures, and how many processes share a batch.

    The defaults are those of NeoNeXt-T on ImageNet (arXiv 2403.11251, Table 2), and where the table is silent those of
    ConvNeXt's recipe, which it follows: the crop, the flip and the floor. Each picture is shown once an epoch
    (no repeated augmentation).
    """

    epochs: _Count = _setting(300, "Times that every picture is shown.")
    seed: Annotated[int, Bounds(ge=0, le=2**32 - 1)] = _setting(0, "Of weights, order, and everything drawn.")
    init: Init = _setting("neoinit", "Fresh cells: near the identity, or the paper's random normal ones.")
    batch_size: _Count = _setting(4096, "Pictures of one step, over all processes and accumulated parts.")
    accumulation: _Count = _setting(1, "Parts in which each process takes its share of a batch.")

    optimiser: Literal["adamw", "sgd"] = _setting("adamw", "AdamW, or SGD with momentum.")
    beta1: _Below1 = _setting(0.9, "Of AdamW; SGD's momentum.")
    beta2: _Below1 = _setting(0.999, "Of AdamW.")
    weight_decay: _Free = _setting(0.05, "Of matrices and cells; biases, norms and LayerScale have none.")
    learning_rate: _Free = _setting(4e-3, "At its peak, for a batch of --base-batch.")
    base_batch: _Count = _setting(4096, "The learning rate is scaled by --batch-size over this.")
    warmup_epochs: _Steps = _setting(20, "In which the learning rate rises linearly; then it falls as a cosine.")
    floor: _Free = _setting(1e-6, "The learning rate at the end.")
    clip: _Free = _setting(0.0, "Largest norm of the gradient; 0 for no clipping.")
    layer_decay: Annotated[float, Bounds(ge=0.01, le=1)] = _setting(
        1.0, "Factor of the learning rate from each layer to the one before."
    )
    freeze: Annotated[int, Bounds(ge=0, le=4)] = _setting(0, "Stages that stay as they are, the stem with the first.")
    freeze_norm: bool = _setting(False, "BatchNorm keeps its statistics.")
    sync_norm: bool = _setting(False, "BatchNorm over all processes; torch has it for cuda and npu.")
    ema: _Below1 = _setting(0.0, "Decay of the weights' moving average; 0 for none.")

    drop_path: _Below1 = _setting(0.1, "Chance to drop the last block's branch; it grows linearly from 0.")
    layer_scale: _Free = _setting(0.0, "A fresh network's LayerScale; 0 for the definition's own.")
    label_smoothing: _Below1 = _setting(0.1, "Share of a target that goes to all classes alike.")
    crop: Annotated[float, Bounds(ge=0.01, le=1)] = _setting(
        0.08, "Least share of a picture that a random crop keeps; 1 for the whole as in evaluation."
    )
    flip: Share = _setting(0.5, "Chance to mirror a picture.")
    rotate: Annotated[float, Bounds(ge=0, le=180)] = _setting(0.0, "Degrees by which a picture turns at most.")
    shift: Share = _setting(0.0, "Share of its side by which a picture moves at most.")
    zoom: _Below1 = _setting(0.0, "Share by which a picture grows or shrinks at most.")
    fade: Share = _setting(0.0, "Share of its light that a picture loses at most.")
    randaugment_ops: Annotated[int, Bounds(ge=0, le=10)] = _setting(2, "RandAugment's operations on each picture.")
    randaugment_magnitude: Annotated[int, Bounds(ge=1, le=29)] = _setting(9, "RandAugment's strength, of 30.")
    mixup: _Free = _setting(0.8, "Mixup's alpha; 0 for none.")
    cutmix: _Free = _setting(1.0, "CutMix's alpha; 0 for none. With both, each batch takes one by a coin.")
    erasing: Share = _setting(0.25, "Chance to erase a part of a picture.")
    held_out: _Below1 = _setting(0.1, "Share of each class to measure on, where the data has no part for it.")

    precision: Precision = _setting("fp32", "Of the forward pass: autocast for bf16 and fp16, a scaler for fp16.")
    compile: Compiler = _setting("none", "torch.compile's backend.")

    @property
    def peak_rate(self) -> float:
        """The largest learning rate: linear in the batch."""
        return self.learning_rate * self.batch_size / self.base_batch

    def to_toml(self) -> str:
        """Every setting, a line each, as ``--recipe`` reads it."""
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(self).items())

    def differences(self, other: Recipe) -> list[str]:
        """Settings that are not the other's, in words."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{name} {mine[name]}, not {theirs[name]}" for name in mine if mine[name] != theirs[name]]


def given_settings(file: Path | None = None, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of a file, and over them those of ``settings``, checked.

    Args:
        file: TOML with fields of :class:`Recipe`.
        settings: fields and values.

    Raises:
        FileAccessError: the file cannot be read.
        UsageError: it is not TOML, or a setting is unknown or cannot be.
    """
    read = {} if file is None else _checked(_read(file), f"{file}: ")
    return read | _checked(dict(settings or {}), "")


def resolve(model: str, given: Mapping[str, Any]) -> Recipe:
    """A model's recipe: its own of ``recipes.toml``, changed by :func:`given_settings`.

    Args:
        model: a name, such as ``neonext_s_384.paper``; what is not in the table takes NeoNeXt-T's.
        given: checked settings.
    """
    family = model.partition(".")[0].removesuffix("_384")
    own = tomllib.loads(_DEFAULTS.read_text(encoding="utf-8")).get(family, {})
    return struct(Recipe, {**own, **given})


def from_json(data: object, where: str) -> Recipe:
    """The recipe in a checkpoint.

    Raises:
        UsageError: it is none.
    """
    return struct(Recipe, _checked(data, f"{where}: its recipe: "))


def names() -> tuple[str, ...]:
    """Of the settings."""
    return tuple(member.name for member in fields(Recipe))


def _checked(data: object, where: str) -> dict[str, Any]:
    from neonext_ascend.artifacts.strict import check

    try:
        return check(Recipe, data, closed=True)
    except ValueError as error:
        raise UsageError(f"{where}{error}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        FileAccessError.refuse_special(file, "a recipe in TOML")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileAccessError(f"{file}: cannot read the recipe: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # TOML's own and UTF-8's errors are ValueErrors
        raise UsageError(f"{file}: not TOML: {error}") from None
