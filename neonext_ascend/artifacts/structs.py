"""Structs from plain data that this program wrote itself; a stranger's goes through :mod:`.strict` first.

Also how messages write a value and a place in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def struct(kind: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass from what ``asdict`` made of it, with JSON's lists in place of tuples.

    Nothing is checked, and other keys are left out. The standard library is enough: so a bundle reads what it carries.
    """
    hints = get_type_hints(kind)
    members = (field for field in fields(kind) if field.init and field.name in data)  # type: ignore[arg-type] # typing cannot say dataclass
    return kind(**{field.name: _value(hints[field.name], data[field.name]) for field in members})


def shown(value: object) -> str:
    """A value in an error message, never long; Python does not print a number of more than 4,300 digits."""
    try:
        return text if len(text := repr(value)) <= 60 else f"{text[:57]}..."
    except ValueError:
        return "a number of very many digits"


def below(where: str, key: str) -> str:
    """The path of a key in what lies at ``where``: ``points['stem.conv']``, ``weights.seed``."""
    if not key.isidentifier() or len(key) > 60:
        return f"{where}[{shown(key)}]"
    return f"{where}.{key}" if where else key


def _value(kind: Any, value: Any) -> Any:
    for option in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if isinstance(option, type) and is_dataclass(option) and isinstance(value, Mapping):
            return struct(option, value)
        if get_origin(option) is tuple and isinstance(value, (list, tuple)):
            return tuple(_value(get_args(option)[0], item) for item in value)
    return value
