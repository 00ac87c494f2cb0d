"""Argument types and options that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

_F = TypeVar("_F", bound=Callable[..., Any])
_MAX = 2**16


class ImageSize(click.ParamType[tuple[int, int]]):
    """``224`` or ``224x320`` (height x width) as (height, width)."""

    name = "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse."""
        if isinstance(value, tuple):
            return int(value[0]), int(value[1])
        match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", value)
        if not match:
            self.fail(f"{value!r}; expected a size such as 224, or height x width such as 224x320", param, ctx)
        height, width = int(match[1]), int(match[2] or match[1])
        if max(height, width) > _MAX:
            self.fail(f"{value!r}; expected at most {_MAX} pixels a side", param, ctx)
        return height, width


class BatchSize(click.ParamType["int | str"]):
    """A number, or ``dynamic``."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Parse."""
        if value == "dynamic":
            return "dynamic"
        if not re.fullmatch(r"\d{1,6}", str(value)) or not 1 <= int(value) <= _MAX:
            self.fail(f"{value!r}; expected a number from 1 to {_MAX}, or dynamic", param, ctx)
        return int(value)


class Finite(click.FloatRange):
    """A number in a range; neither infinite nor none at all, which every range would let pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value}; expected a finite number", param, ctx)
        return number


class ModelName(click.ParamType[str]):
    """A model's name; completes in the shell, and is checked by the table itself."""

    name = "MODEL"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin so."""
        from neonext_ascend.models.variants import VARIANTS

        return [CompletionItem(name) for name in VARIANTS if name.startswith(incomplete)]


PATH = click.Path(path_type=Path)

config_option = click.option(
    "--config", type=PATH, metavar="FILE.toml", help="A network of your own in place of MODEL."
)
checkpoint_option = click.option(
    "--checkpoint", type=PATH, metavar="FILE", help="Weights: .pt, .safetensors, or a folder of save_pretrained."
)
image_size_option = click.option(
    "--image-size", type=ImageSize(), metavar="N|HxW", help="Pixels; the model's own by default."
)
num_classes_option = click.option("--num-classes", type=click.IntRange(1, 10**6), help="Classes, without a checkpoint.")
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of NeoInit, without a checkpoint.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


def network_options(function: _F) -> _F:
    """The options that choose a network."""
    for option in (seed_option, num_classes_option, image_size_option, checkpoint_option, config_option):
        function = option(function)
    return function


# Names as in runtimes/registry.py, which the help does not load; tests/runtimes/test_registry.py compares them.
RUNTIMES = ("auto", "ort", "cann", "acl", "npu")
runtime_option = click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default="auto",
    show_default=True,
    help="ort: ONNX Runtime; cann: its CANN provider; acl: pyACL, for an OM; npu: torch_npu, for a MODEL.",
)
device_option = click.option(
    "--device", type=click.IntRange(0, 1023), default=0, show_default=True, help="Number of the NPU."
)
ray_option = click.option(
    "--ray", metavar="ADDRESS", help="Let a Ray cluster's workers do it: local, auto, or its head's HOST:PORT."
)


def runtime_options(function: _F) -> _F:
    """The options that choose what runs an artifact, and where."""
    return runtime_option(device_option(function))


def given(*names: str) -> frozenset[str]:
    """The parameters that stand on the command line, of these or of all."""
    context = click.get_current_context()
    return frozenset(
        name for name in names or context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )
