"""What callers give as sizes, counts, names and files: numpy's numbers are numbers, a bool is none."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from neonext_ascend.errors import UsageError


def whole_number(value: object, what: str, least: int = 1, most: int = 2**63 - 1) -> int:
    """A whole number: Python's, numpy's, or a tensor of one element.

    Raises:
        UsageError: it is something else, a bool, a float or a text included, or not within ``least`` and ``most``.
    """
    number: int | None = number_of(value)
    if number is None or not least <= number <= most:
        within = f"at least {least}" if most == 2**63 - 1 else f"from {least} to {most}"
        raise UsageError(f"{what} {shown(value)}: expected a whole number, {within}")
    return number


def whole_numbers(value: object, what: str) -> tuple[int, ...]:
    """Whole numbers of at least 1, from a tuple, a list or an array.

    Raises:
        UsageError: it is something else, or empty.
    """
    items = [number_of(item) for item in items_of(value) or ()]
    numbers = tuple(number for number in items if number is not None and 1 <= number < 2**63)
    if not numbers or len(numbers) != len(items):
        raise UsageError(f"{what} {shown(value)}: expected whole numbers above 0")
    return numbers


def image_size_of(value: object) -> tuple[int, int]:
    """Height and width in pixels, from one number for both, or from two.

    Raises:
        UsageError: it is something else.
    """
    side = number_of(value)
    size = [side, side] if side is not None else [number_of(item) for item in items_of(value) or ()]
    match size:
        case [int(height), int(width)] if 1 <= height < 2**63 and 1 <= width < 2**63:
            return height, width
    raise UsageError(f"image_size {shown(value)}: expected a number of pixels above 0, or (height, width)")


def file_path(value: object, what: str) -> Path:
    """A path, from text, bytes or a path.

    Raises:
        UsageError: it is something else, or no file can be called so.
    """
    path = folder_path(value, what)
    if not path.name:
        raise UsageError(f"{what} {shown(value)}: no file can be called so; expected a path")
    return path


def folder_path(value: object, what: str) -> Path:
    """As :func:`file_path`, where ``.``, a folder without a name, will do."""
    given: Any = value
    try:
        path = Path(os.fsdecode(given))
    except TypeError:
        raise UsageError(f"{what} {shown(value)}: expected a path") from None
    if not given or "\0" in str(path):
        raise UsageError(f"{what} {shown(value)}: no file can be called so; expected a path")
    return path


def one_of(value: object, names: Collection[str], what: str) -> None:
    """Refuse what is not among ``names``.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(value, str) or value not in names:
        raise UsageError(f"{what} {shown(value)}: expected {' or '.join(names)}")


def shown(value: object) -> str:
    """A value in an error message, on one line and never long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # Python does not print a number of more than 4,300 digits
        return f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def number_of(value: object, kind: type[int | float] = int) -> Any:
    """A finite number of this kind: Python's, numpy's, or a tensor of one element; ``None`` for anything else."""
    given: Any = value
    # A tensor of a bool counts as 0 or 1 elsewhere.
    if isinstance(value, bool | str | bytes) or str(getattr(value, "dtype", "")).endswith("bool"):
        return None
    try:
        number = operator.index(given) if kind is int else float(given)
    except Exception:  # what looks like a number may raise anything
        return None
    return number if kind is int or math.isfinite(number) else None


def items_of(value: object) -> tuple[object, ...] | None:
    """The items of what has an order; ``None`` for anything else."""
    if isinstance(value, (str, bytes, Mapping, set, frozenset)) or not isinstance(value, Iterable):
        return None
    try:
        return tuple(value)
    except Exception:  # an array without an axis
        return None
