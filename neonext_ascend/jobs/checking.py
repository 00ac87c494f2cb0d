"""The arguments of a job, held against its own annotations: numpy's numbers are numbers, a bool is none."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from neonext_ascend.errors import ArgumentError
from neonext_ascend.models.arguments import items_of, number_of, shown
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import Bounds

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")
R = TypeVar("R")
Request = TypeVar("Request", bound="DataclassInstance")
# A name, a configuration, or nothing where a file tells.
Model = str | NetworkConfig | None
# Pixels a side, or (height, width).
Size = Annotated[int, Bounds(ge=1)] | tuple[int, int]
BatchSize = Annotated[int, Bounds(ge=1, le=2**16)]
Device = Annotated[int, Bounds(ge=0, le=1023)]
_FREE = Bounds()


def checked(job: Callable[P, R]) -> Callable[P, R]:
    """A job that refuses arguments of another kind than its annotations say, before any work.

    Raises:
        ArgumentError: from the job; it names the argument, what was given, and what is expected.
    """
    signature = inspect.signature(job)

    @functools.wraps(job)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        given.arguments.update(_fitted(job, given.arguments))
        return job(*given.args, **given.kwargs)

    return call


def checked_fields(request: Request) -> Request:
    """The same of a dataclass: a copy with its fields in their plain form."""
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return dataclasses.replace(request, **_fitted(type(request), values))


def _fitted(owner: object, values: Mapping[str, object]) -> dict[str, object]:
    hints, fitted = _hints(owner), {}
    for name, value in values.items():
        try:
            fitted[name] = _fit(value, hints[name])
        except _UnfitError as wrong:
            raise ArgumentError(name, shown(wrong.value), _words(wrong.hint, wrong.bounds)) from None
    return fitted


class _UnfitError(ValueError):
    """A value that is not as its hint has it; ``inner`` where it is an item of a list."""

    def __init__(self, value: object, hint: Any, bounds: Bounds, inner: bool) -> None:
        self.value, self.hint, self.bounds, self.inner = value, hint, bounds, inner


@functools.cache
def _hints(owner: Any) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def _fit(value: object, hint: Any, bounds: Bounds = _FREE, inner: bool = False) -> object:
    """The value as the hint has it.

    Raises:
        _UnfitError: it has not.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fit(value, parts[0], parts[1], inner)
    if origin in (Union, types.UnionType):
        for way in parts:
            try:
                return _fit(value, way, inner=inner)
            except _UnfitError as wrong:
                if wrong.inner and not inner:
                    raise
    elif origin is Literal:
        if isinstance(value, str) and value in parts:
            return value
    elif origin is tuple or origin is Sequence:
        items = items_of(value)
        kinds = parts if origin is tuple else parts[:1] * len(items or ())
        if items is not None and len(items) == len(kinds) and len(items) >= (bounds.min_length or 0):
            return tuple(_fit(item, kind, inner=origin is Sequence) for item, kind in zip(items, kinds, strict=True))
    elif origin is dict:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return dict(value)
    elif origin is not None:
        if callable(value):
            return value
    elif hint in (int, float):
        number = number_of(value, hint)
        least, most = (-math.inf if bounds.ge is None else bounds.ge), (math.inf if bounds.le is None else bounds.le)
        if number is not None and least <= number <= most:
            return number
    elif hint is bool:
        if isinstance(value, bool | np.bool_):
            return bool(value)
    elif isinstance(value, hint) and "\0" not in str(value if hint in (str, Path) else "") and value != "":
        return value
    raise _UnfitError(value, hint, bounds, inner)


def _words(hint: Any, bounds: Bounds = _FREE) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _words(parts[0], parts[1])
    if origin in (Union, types.UnionType):
        chosen = [word for way in parts if get_origin(way) is Literal for word in get_args(way)]
        ways = [way for way in parts if get_origin(way) is not Literal and way not in (type(None), str)]
        ways[:0] = [str] if str in parts and Path not in parts else []
        listed = [f"one of {', '.join(chosen)}"] if len(chosen) > 1 else chosen
        return ", or ".join([*map(_words, ways), *listed])
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin is tuple:
        return "(height, width)"
    if origin is Sequence:
        return f"a list{' of at least one' if bounds.min_length else ''}, each {_words(parts[0])}"
    if origin is dict:
        return "names with their values"
    if hint in (int, float):
        kind = "a whole number" if hint is int else "a number"
        if bounds.le is not None:
            return f"{kind} from {bounds.ge} to {bounds.le}"
        return kind if bounds.ge is None else f"{kind} of at least {bounds.ge}"
    named = {str: "a text", Path: "a path", bool: "True or False"}
    return "a function" if origin is not None else named.get(hint, f"a {getattr(hint, '__name__', hint)}")
