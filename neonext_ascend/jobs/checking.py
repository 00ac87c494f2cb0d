"""Checks that several jobs make of their arguments, with the errors of the command line."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsIndex

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.drawing.style import require_matplotlib
from neonext_ascend.errors import UsageError


def whole(option: str, value: SupportsIndex, least: int, most: int) -> int:
    """The number, numpy's included.

    Raises:
        UsageError: it is no whole number from ``least`` to ``most``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{option} {value}: expected a whole number from {least} to {most}")
    return number


def positive(option: str, value: float) -> float:
    """The number, numpy's included.

    Raises:
        UsageError: it is no finite number above 0.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{option} {value}: expected a number above 0")
    return number


def one_of(option: str, value: object, choices: Collection[Any]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        UsageError: it is none.
    """
    if value not in choices:
        raise UsageError(f"{option} {value}: expected one of {', '.join(choices)}")


@contextmanager
def plotting(path: Path | None) -> Iterator[Callable[[str], None]]:
    """A way to write the plot that was asked for, which fails before the work where it would fail behind it.

    Args:
        path: of the SVG; ``None`` where none is asked for.

    Raises:
        UsageError: the path is no name of an SVG file.
        ToolchainError: matplotlib is missing.
        FileAccessError: its folder cannot be written.
    """
    if path is None:
        yield lambda _: None
        return
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot {path}: an SVG is drawn; give a file name that ends in .svg")
    if path.is_dir():
        raise UsageError(f"--plot {path}: is a folder; give a file name that ends in .svg")
    require_matplotlib(f"--plot {path}")
    with staged(path.parent) as stage:

        def publish(text: str) -> None:
            (stage.folder / path.name).write_text(text, encoding="utf-8")
            stage.publish(path.name)

        yield publish
