"""Options of ``train``: one for each setting of the recipe, made from its fields, and those of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from neonext_ascend.cli.options import PATH, Finite
from neonext_ascend.training.recipe import Recipe, names

_F = TypeVar("_F", bound=Callable[..., Any])
SETTINGS = names()
_DEVICES = ("auto", "cpu", "cuda", "npu")


def recipe_options(function: _F) -> _F:
    """An option for each setting; its default is the model's, so none stands here."""
    hints = get_type_hints(Recipe, include_extras=True)
    for member in reversed(fields(Recipe)):
        name, help_text = member.name.replace("_", "-"), member.metadata["help"]
        kind = _kind(hints[member.name])
        declared = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
        given = {} if kind is bool else {"type": kind}
        function = click.option(declared, member.name, default=None, help=help_text, **given)(function)
    return function


def _kind(hint: Any) -> Any:
    """What click parses: a range, a choice, or ``bool``."""
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if get_origin(hint) is not Annotated:
        return hint
    kind, bounds = get_args(hint)
    return (click.IntRange if kind is int else Finite)(bounds.ge, bounds.le)


def run_options(function: _F) -> _F:
    """What changes no weight."""
    steps = click.IntRange(0, 10**9)
    for option in (
        click.option("--tensorboard/--no-tensorboard", default=True, show_default=True, help="Write its curves too."),
        click.option(
            "--look-every", type=steps, default=300, show_default=True, help="Steps between looks at fp16's range."
        ),
        click.option(
            "--log-every",
            type=click.IntRange(1, 10**9),
            default=10,
            show_default=True,
            help="Steps between lines of the log.",
        ),
        click.option("--save-every", type=steps, default=0, help="Steps between checkpoints [default: one an epoch]."),
        click.option(
            "--keep", type=click.IntRange(1, 10**6), default=3, show_default=True, help="Checkpoints that stay."
        ),
        click.option(
            "--workers", type=click.IntRange(0, 256), help="Processes that decode [default: as the cores allow]."
        ),
        click.option(
            "--device",
            type=click.Choice(_DEVICES),
            default="auto",
            show_default=True,
            help="auto: a card where there is one.",
        ),
        click.option(
            "-o",
            "--output",
            type=PATH,
            default="training",
            show_default=True,
            metavar="DIR",
            help="Folder of the checkpoints; created.",
        ),
    ):
        function = option(function)
    return function
