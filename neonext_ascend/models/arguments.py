"""What callers give as sizes, counts, names and files: numpy's numbers are numbers, a bool is none."""

from __future__ import annotations

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
    number = _number(value)
    if number is None or not least <= number <= most:
        within = f"at least {least}" if most == 2**63 - 1 else f"from {least} to {most}"
        raise UsageError(f"{what} {shown(value)}: expected a whole number, {within}")
    return number


def whole_numbers(value: object, what: str) -> tuple[int, ...]:
    """Whole numbers of at least 1, from a tuple, a list or an array.

    Raises:
        UsageError: it is something else, or empty.
    """
    items = [_number(item) for item in _items(value)]
    numbers = tuple(number for number in items if number is not None and 1 <= number < 2**63)
    if not numbers or len(numbers) != len(items):
        raise UsageError(f"{what} {shown(value)}: expected whole numbers above 0")
    return numbers


def image_size_of(value: object) -> tuple[int, int]:
    """Height and width in pixels, from one number for both, or from two.

    Raises:
        UsageError: it is something else.
    """
    side = _number(value)
    size = [side, side] if side is not None else [_number(item) for item in _items(value)]
    match size:
        case [int(height), int(width)] if 1 <= height < 2**63 and 1 <= width < 2**63:
            return height, width
    raise UsageError(f"image_size {shown(value)}: expected a number of pixels above 0, or (height, width)")


def file_path(value: object, what: str) -> Path:
    """A path, from text, bytes or a path.

    Raises:
        UsageError: it is something else, or no file can be called so.
    """
    given: Any = value
    try:
        path = Path(os.fsdecode(given))
    except TypeError:
        raise UsageError(f"{what} {shown(value)}: expected a path") from None
    if not path.name or "\0" in str(path):
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


def _number(value: object) -> int | None:
    given: Any = value
    # A tensor of a bool counts as 0 or 1 elsewhere.
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        return None
    try:
        return operator.index(given)
    except Exception:  # what looks like a number may raise anything
        return None


def _items(value: object) -> tuple[object, ...]:
    """The items of what has an order; none otherwise."""
    if isinstance(value, (str, bytes, Mapping, set, frozenset)) or not isinstance(value, Iterable):
        return ()
    try:
        return tuple(value)
    except Exception:  # an array without an axis
        return ()
