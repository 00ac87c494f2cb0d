"""What goes where: results to standard output, words beside them to standard error, progress to a terminal only."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click


def say(text: str, quiet: bool = False) -> None:
    """A line of the result; goes to standard error where standard output is for JSON."""
    click.echo(text, err=quiet)


def note(text: str) -> None:
    """Something the user should know."""
    click.echo(f"note: {text}", err=True)


def warn(text: str) -> None:
    """Something that may be wrong."""
    click.echo(f"warning: {text}", err=True)


def put_json(data: Mapping[str, Any]) -> None:
    """The one JSON object of ``--json``."""
    click.echo(json.dumps(data, indent=2, allow_nan=False))


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show that long work goes on, on a terminal; quiet when piped."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
