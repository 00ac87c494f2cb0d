"""A tensor's data in JSON: numbers nested or flat, byte strings in base64; a lot of them in pieces.

64 MiB of JSON hold up to 33 million numbers. Read at once they take one to six seconds, in which nobody else is
answered, and one to three gigabytes; in pieces, a few milliseconds and a hundred kilobytes each.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Sequence
from types import GenericAlias
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from neonext_ascend.serving.protocol.tensors import BYTES, Tensor, dtype_of, refuse_count, refuse_many
from neonext_ascend.serving.refusals import RefusedError

# What numpy's kinds are read from, and from nothing else; null is no number, which is told where it is used.
_KINDS: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": int | float | None}
_PIECE = 2**17  # bytes of text that are read at once
_OF_NUMBERS = b"0123456789+-.eE truefalsn\t\r\n"  # and of true, false and null
_NESTED = [bytes([name]) for name in b"ABCDFGHIJKLMNOPQ"]  # names of lists, as deep as shapes are long


def read_json(text: bytes | memoryview) -> Any:
    """What it says.

    Raises:
        RefusedError: 400, it is none.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the request is no JSON: {error}") from None


def tensor_of(name: str, datatype: str, shape: Sequence[int], data: object) -> Tensor:
    """Of what JSON held, all at once.

    Raises:
        RefusedError: 400, it is no list of such values, of another number, or nested in another shape; 413, too many
            byte strings.
    """
    if not isinstance(data, list):
        raise RefusedError(400, f"{name}: data is missing; expected a list, or binary_data_size and the bytes")
    if datatype != BYTES:
        array = _numbers(name, datatype, data)
        return _shaped(name, datatype, shape, array, array.shape)
    try:
        given = np.asarray(data, object)
        refuse_many(name, given.size)
        texts = [base64.b64decode(value, validate=True) for value in given.ravel().tolist()]
    except (ValueError, TypeError, RecursionError):
        raise _not_such(name, datatype) from None
    refuse_count(name, len(texts), datatype, shape)
    _refuse_nesting(name, given.shape, shape)
    return Tensor(name, datatype, tuple(shape), texts)


async def tensor_of_text(name: str, datatype: str, shape: Sequence[int], text: bytes) -> Tensor:
    """Of JSON itself, which is valid; others have their turns meanwhile.

    Raises:
        RefusedError: as of :func:`tensor_of`.
    """
    await asyncio.sleep(0)
    if not text.startswith(b"["):
        return tensor_of(name, datatype, shape, None)
    if datatype == BYTES:
        refuse_many(name, text.count(b",") + 1)
        return tensor_of(name, datatype, shape, read_json(text))
    dtype_of(name, datatype)
    (flat, nested), at = _flat(text), 0
    parts = list[NDArray[np.generic]]()
    while at <= len(flat):
        await asyncio.sleep(0)
        end = flat.find(b",", at + _PIECE)
        end = len(flat) if end < 0 else end
        try:
            data = msgspec.json.decode(b"[%b]" % flat[at:end])
            if not data and (at, end) != (0, len(flat)):
                raise ValueError
        except ValueError:  # a comma inside of a value, or none beside one
            raise _not_such(name, datatype) from None
        parts.append(_numbers(name, datatype, data))
        at = end + 1
    return _shaped(name, datatype, shape, np.concatenate(parts), nested)


def _flat(text: bytes) -> tuple[bytes, Sequence[int]]:
    """The values without brackets, where they lie flat, or are numbers in lists of equal lengths; else no list.

    With them the lengths of lists in lists, the outermost first.
    """
    if text.count(b"[") == 1:
        return text[1:-1], ()
    left, element, lengths = text.translate(None, _OF_NUMBERS), b"", list[int]()
    for name in _NESTED:
        # All lists that hold elements alone are alike, and become elements of those around them.
        end = left.find(b"]") + 1
        inner = left[left.rfind(b"[", 0, end) : end]
        lengths.insert(0, 1 + inner.count(b","))
        if inner != b"[%b]" % ((element + b",") * lengths[0])[:-1]:
            break
        left = left.replace(inner, name)
        if left == name:
            return text.translate(None, b"[]"), lengths
        element = name
    return b",", ()


def _numbers(name: str, datatype: str, data: list[Any]) -> NDArray[np.generic]:
    dtype = np.dtype(dtype_of(name, datatype))
    try:
        with np.errstate(over="ignore"):  # what is too large is infinite, which is refused where it is used
            if dtype.kind == "f" and (flat := _floats(data)) is not None:
                return flat.astype(dtype)
            kind, inner = _KINDS[dtype.kind], cast(Any, data)
            for _ in _NESTED:  # all are as deep as the first
                if isinstance(inner, list):
                    kind, inner = GenericAlias(list, kind), inner[0] if inner else None
            return np.asarray(msgspec.convert(data, kind), dtype)
    except OverflowError:
        raise RefusedError(400, f"{name}: its data are not {datatype}: one is out of its range") from None
    except (ValueError, TypeError, RecursionError):  # their words are numpy's and msgspec's, who know no tensor
        raise _not_such(name, datatype) from None


def _floats(data: list[Any]) -> NDArray[np.float64] | None:
    """Numbers that lie flat, faster than numpy reads them; of anything else none."""
    try:
        return np.frombuffer(struct.pack(f"{len(data)}d", *msgspec.convert(data, list[float])))
    except ValueError:
        return None


def _shaped(
    name: str, datatype: str, shape: Sequence[int], array: NDArray[np.generic], nested: Sequence[int]
) -> Tensor:
    refuse_count(name, array.size, datatype, shape)
    _refuse_nesting(name, nested, shape)
    return Tensor(name, datatype, tuple(shape), array.reshape(shape))


def _refuse_nesting(name: str, nested: Sequence[int], shape: Sequence[int]) -> None:
    """Raise for lists in lists of other lengths than the shape's; a length of 1 changes no order."""
    given, wanted = ([n for n in sizes if n != 1] for sizes in (nested, shape))
    if len(given) > 1 and given != wanted:
        raise RefusedError(400, f"{name}: its lists are nested as {list(nested)}; expected {list(shape)}, or flat")


def _not_such(name: str, datatype: str) -> RefusedError:
    whole = f"{datatype}: whole numbers" if "INT" in datatype else datatype
    wanted = {BYTES: "strings in base64", "BOOL": "BOOL: true or false"}.get(datatype, whole)
    return RefusedError(
        400, f"{name}: its data are not {wanted}; expected a list of them, flat or nested in equal lists"
    )
