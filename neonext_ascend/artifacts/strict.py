"""Structs from a stranger's data: msgspec checks every value against the struct's own annotations.

A struct is a plain dataclass, whose bounds stand in its annotations (:class:`~neonext_ascend.spec.Bounds`); it needs no
msgspec. ``asdict`` writes it. What is read, its JSON Schema and the words of errors are made from the same annotations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from neonext_ascend.artifacts.structs import below, shown
from neonext_ascend.spec import Bounds

_STEP = re.compile(r"\.{3}|[^.\[\]]+")  # of msgspec's path: a field, a number, or ... for any key of a mapping
_KEY = re.compile(r"(missing required|contains unknown) field `(.*)`", re.DOTALL)
_WORDS = {
    **{"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"},
    **{"array": "a list", "object": "an object", "null": "null"},
}


def check(kind: type, data: object, *, closed: bool = False, typed: bool = True) -> dict[str, Any]:
    """A struct's data, checked, for :func:`~.structs.struct`.

    Args:
        kind: a dataclass.
        data: parsed JSON or TOML.
        closed: refuse the keys that the struct does not have, in place of leaving them out.
        typed: whether text is only text; else ``"2"`` is also a number, where one is expected.

    Raises:
        ValueError: says where, what and what was expected: ``artifact.opset is '17'; expected a whole number``.
    """
    wanted = _wanted(kind, closed)
    try:
        checked: dict[str, Any] = msgspec.to_builtins(msgspec.convert(data, wanted, strict=typed))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ValueError(_told(what, where.strip("`."), wanted, data)) from None
    return checked


def schema(kind: type, title: str, *, closed: bool = False) -> dict[str, Any]:
    """The JSON Schema of what :func:`check` lets pass."""
    made = msgspec.json.schema(_wanted(kind, closed))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}


@cache
def _wanted(kind: Any, closed: bool = False) -> Any:
    """An annotation as msgspec has it."""
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        # What follows from other fields stands there for readers alone, and may be missing like what is optional.
        free = {field.name for field in fields(kind) if field.metadata.get("optional") or not field.init}
        types = {field.name: _wanted(hints[field.name]) for field in fields(kind)}
        members = [(name, held | UnsetType, UNSET) if name in free else (name, held) for name, held in types.items()]
        return msgspec.defstruct(kind.__name__, members, kw_only=True, forbid_unknown_fields=closed)
    if origin is Annotated and isinstance(args[1], Bounds):
        given = {name: value for name, value in asdict(args[1]).items() if value is not None}
        return Annotated[_wanted(args[0]), Meta(**given)]
    if origin is Annotated:  # what a file may hold in place of what the program does
        return _wanted(args[1])
    if origin is Literal or not args:
        return kind
    if origin is tuple and args[-1] is not Ellipsis:
        # A tuple of fixed length beside a bounded number crashes the garbage collector (msgspec 0.22).
        return _wanted(Annotated[origin[args[0], ...], Bounds(min_length=len(args), max_length=len(args))])
    inner = tuple(map(_wanted, args))
    return origin[inner] if origin in (tuple, Mapping) else reduce(or_, inner)


def _told(what: str, where: str, wanted: Any, value: Any) -> str:
    """msgspec's error in our words; what was expected is what the schema says there."""
    (part,), parts = msgspec.json.schema_components([wanted], ref_template="{name}")
    key = _KEY.search(what)
    for step in _STEP.findall(where):
        if step == "...":  # mappings that are checked hold text
            step = next(key for key, held in value.items() if not isinstance(held, str))
            where = below(where.removesuffix("[...]"), step)
        part, value = _inside(part, step, parts), value[int(step) if isinstance(value, (list, tuple)) else step]
    if key is None:
        return f"{where or 'it'} is {shown(value)}; expected {_expected(part)}"
    if key[1] == "missing required":
        return f"{below(where, key[2])} is missing; expected {_expected(_inside(part, key[2], parts))}"
    return f"unknown field {shown(key[2])}; expected {', '.join(sorted(parts[part['$ref']]['properties']))}"


def _inside(part: dict[str, Any], step: str, parts: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field, of an item or of a mapping's value."""
    options = [parts.get(one.get("$ref"), one) for one in part.get("anyOf", [part])]
    held = (one.get("properties", {}).get(step) or one.get("items", one.get("additionalProperties")) for one in options)
    return next(filter(None, held))


def _expected(part: dict[str, Any]) -> str:
    """A schema in words."""
    words, fewest = _WORDS[part.get("type", "object")], part.get("minItems")
    match part:
        case {"description": str(given)}:
            return given
        case {"anyOf": options}:
            return " or ".join(map(_expected, options))
        case {"enum": values}:
            return f"{'one of ' if len(values) > 1 else ''}{', '.join(map(str, values))}"
        case {"minimum": low, "maximum": high}:
            return f"{words} from {low} to {high}"
    return words if fewest is None else f"{words} of {fewest}{'' if part.get('maxItems') == fewest else ' or more'}"
