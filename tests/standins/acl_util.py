"""``acl.util`` of the stand-in: pointers to Python's memory and back; the older releases' names as well."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.standins.acl_state import STATE, Misuse, api, dropped


@api("acl.util.bytes_to_ptr", "value")
def bytes_to_ptr(data: object) -> int:
    if not isinstance(data, bytes) or not data:
        raise Misuse(f"a {type(data).__name__}; expected bytes")
    return _pointer(data)


@api("acl.util.numpy_to_ptr", "value")
def numpy_to_ptr(array: object) -> int:
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        raise Misuse("expected an array without gaps")
    return _pointer(array)


@api("acl.util.ptr_to_bytes", "value", failed=None)
def ptr_to_bytes(ptr: int, size: int) -> bytes:
    memory = STATE.get("host memory", ptr)
    if not 0 < size <= memory.written:
        raise Misuse(f"{size} bytes of {memory}, of which {memory.written} hold data")
    return bytes(memory.content[:size])


@api("acl.util.ptr_to_numpy", "value", failed=None)
def ptr_to_numpy(ptr: int, shape: Any, numpy_type: int) -> Any:
    memory = STATE.get("host memory", ptr)
    kind = {1: np.int8, 2: np.uint8, 11: np.float32, 23: np.float16}.get(numpy_type)
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if kind is None or not isinstance(shape, tuple) or not 0 < size <= memory.written:
        raise Misuse(f"shape {shape} of type {numpy_type} from {memory}")
    return np.frombuffer(memory.content, kind, size // np.dtype(kind).itemsize).reshape(shape)


def _pointer(owner: object) -> int:
    for thing in [thing for thing in STATE.things.values() if thing.kind == "pointer"]:
        if dropped(thing):
            STATE.end("pointer", thing.address)
    return STATE.make("pointer", content=owner)
