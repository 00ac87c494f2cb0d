"""Tensors as the protocol spells them: datatypes, raw bytes, and lists of byte strings."""

from __future__ import annotations

import math
import struct
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.spec import TensorSpec

BYTES = "BYTES"
# The protocol's names; BF16 has no dtype of numpy's.
DATATYPES: Mapping[str, str] = {
    "BOOL": "bool",
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
SENT = {
    np.dtype(dtype): name for name, dtype in DATATYPES.items()
}  # looked up as they are: a dtype's name takes longer to make
_MOST_ELEMENTS, _MOST_TEXTS = 2**40, 2**16  # of a shape, a size of 0 counted as 1; byte strings are read one by one
# Parameters of Triton's extensions.
_UNSERVED = {"shared_memory_region": "shared memory", "classification": "classification of tensors"}
_LITTLE = {name: np.dtype(dtype).newbyteorder("<") for name, dtype in DATATYPES.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor; ``data`` is an array, or for ``BYTES`` its elements in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[np.generic] | Sequence[bytes]

    @classmethod
    def of(cls, name: str, array: NDArray[np.generic]) -> Tensor:
        """Of an array of numbers."""
        return cls(name, SENT[array.dtype], array.shape, array)

    @classmethod
    def from_raw(cls, name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Tensor:
        """From little-endian bytes in row-major order.

        Raises:
            RefusedError: 400, another number of bytes than the shape's.
        """
        count = elements(name, shape)
        if datatype == BYTES:
            return cls(name, datatype, tuple(shape), _split(name, raw, count))
        dtype = _LITTLE.get(datatype) or np.dtype(dtype_of(name, datatype))
        if len(raw) != count * dtype.itemsize:
            raise RefusedError(
                400, f"{name}: {len(raw)} bytes; {datatype}{list(shape)} has {count * dtype.itemsize}: send as many"
            )
        return cls(name, datatype, tuple(shape), np.frombuffer(raw, dtype).reshape(shape))

    def to_raw(self) -> bytes:
        """Little-endian bytes; each of ``BYTES`` behind its length in four bytes."""
        if isinstance(self.data, np.ndarray):
            return self.data.astype(_LITTLE[self.datatype], copy=False).tobytes()
        return b"".join(struct.pack("<I", len(item)) + item for item in self.data)


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks for, whichever way it came.

    Attributes:
        id: to be given back.
        inputs: at least one.
        outputs: wanted, with whether each is wanted in binary; empty means all.
        parameters: of the request.
        binary: whether outputs that say nothing are wanted in binary.
    """

    id: str
    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, bool | None]
    parameters: Mapping[str, object]
    binary: bool = False


def datatype_of(dtype: str) -> str:
    """The protocol's name of one of numpy's dtypes."""
    return _NAMES[dtype]


def dtype_of(name: str, datatype: str) -> str:
    """The dtype of numpy's; ``name`` is the tensor's.

    Raises:
        RefusedError: 400, there is none.
    """
    if datatype not in DATATYPES:
        raise RefusedError(400, f"{name}: datatype {datatype!r}; expected one of {', '.join([*DATATYPES, BYTES])}")
    return DATATYPES[datatype]


def elements(name: str, shape: Sequence[object]) -> int:
    """How many a shape has.

    Raises:
        RefusedError: 400, it is no shape.
    """
    sizes = [n for n in shape if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**32]
    if len(sizes) != len(shape) or len(sizes) > 16 or math.prod(n or 1 for n in sizes) > _MOST_ELEMENTS:
        given = str(list(shape))[:60]
        raise RefusedError(
            400, f"{name}: shape {given}; expected at most 16 whole numbers of at least 0, 2**40 elements in all"
        )
    return math.prod(sizes)


def refuse_count(name: str, given: int, datatype: str, shape: Sequence[int]) -> None:
    """Raise for another number of values than the shape's."""
    count = elements(name, shape)
    if given != count:
        raise RefusedError(400, f"{name}: values: {given}; {datatype}{list(shape)} has {count}: send as many")


def refuse_many(name: str, texts: int) -> None:
    """Raise for more byte strings than are read while others wait."""
    if texts > _MOST_TEXTS:
        raise RefusedError(413, f"{name}: {texts} elements; expected at most {_MOST_TEXTS} in a request")


def refuse_unserved(name: str, parameters: Container[str]) -> None:
    """Raise for an input or output that asks for what would be left undone."""
    for word, what in _UNSERVED.items():
        if word in parameters:
            raise RefusedError(400, f"{name}: {word}: there is no {what} here; leave it out")


def metadata_of(spec: TensorSpec) -> dict[str, object]:
    """A tensor in a model's metadata; a free dimension is -1."""
    shape = [n if isinstance(n, int) else -1 for n in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": shape}


def _split(name: str, raw: bytes | memoryview, count: int) -> list[bytes]:
    refuse_many(name, count)
    items: list[bytes] = []
    at, view = 0, memoryview(raw)
    while at + 4 <= len(view) and len(items) < count:
        (length,) = struct.unpack_from("<I", view, at)
        items.append(bytes(view[at + 4 : at + 4 + length]))
        at += 4 + length
    if at != len(view) or len(items) != count:
        raise RefusedError(400, f"{name}: its bytes are not {count} elements, each behind its length in four bytes")
    return items
