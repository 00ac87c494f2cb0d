"""What the server and a device's process say to each other: JSON and bytes over a socket, each behind its length."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_LENGTHS = struct.Struct("<II")


def frame(message: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """A message, and bytes that belong to it."""
    text = msgspec.json.encode(message)
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """Wait for the next frame; ``None`` where the other side has gone."""
    head = _exactly(connection, _LENGTHS.size)
    if head is None:
        return None
    text_length, payload_length = _LENGTHS.unpack(head)
    text, payload = _exactly(connection, text_length), _exactly(connection, payload_length)
    return None if text is None or payload is None else (msgspec.json.decode(text), payload)


async def read(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next frame.

    Raises:
        EOFError: the other side has gone.
    """
    try:
        text_length, payload_length = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
        return msgspec.json.decode(await stream.readexactly(text_length)), await stream.readexactly(payload_length)
    except OSError:
        raise EOFError from None


def packed(arrays: Sequence[NDArray[Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Arrays as a message describes them, and their bytes behind it."""
    described = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    return described, b"".join(array.tobytes() for array in arrays)


def unpacked(described: Sequence[Mapping[str, Any]], payload: bytes) -> list[NDArray[Any]]:
    """The same arrays, over the bytes.

    Raises:
        ValueError: there are fewer.
    """
    at, arrays = 0, list[NDArray[Any]]()
    for each in described:
        arrays.append(np.frombuffer(payload, each["dtype"], math.prod(each["shape"]), at).reshape(each["shape"]))
        at += arrays[-1].nbytes
    return arrays


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
