"""Write an ONNX file with its initializers one at a time.

A protobuf message carries its length in front. Lengths follow from shapes alone, so the file can be written from
front to back while each tensor exists only while it is being written.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from onnx.helper import np_dtype_to_tensor_dtype

from neonext_ascend.artifacts.wire import LENGTH_DELIMITED, encoded

# Field numbers in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_RAW_DATA = 9

# Protobuf's own limit is 2 GiB; the room left is for what the estimate does not count.
PROTOBUF_LIMIT = 2**31 - 2**20
_EXTERNAL_ALIGNMENT = 4096


@dataclass(frozen=True)
class Initializer:
    """A constant to be written.

    Args:
        name, shape, dtype: as in the file.
        value: gives the array when asked, of exactly that shape and dtype.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    value: Callable[[], NDArray[np.generic]]

    @property
    def nbytes(self) -> int:
        """Bytes of its data."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written: path, bytes and SHA-256."""

    path: Path
    nbytes: int
    sha256: str


def checksum(data: bytes | memoryview) -> str:
    """CRC-32 of a constant's bytes, hexadecimal: enough to see a change, and quick."""
    return f"{zlib.crc32(data):08x}"


class _HashedFile:
    """Counts and hashes what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.nbytes, self.digest = file, 0, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.nbytes += len(data)


def write_model(
    path: Path, model: ModelProto, initializers: Sequence[Initializer], limit: int = PROTOBUF_LIMIT
) -> tuple[list[WrittenFile], dict[str, str]]:
    """Write ``model`` with ``initializers``; what would pass ``limit`` bytes goes to ``<name>.data`` beside it.

    Args:
        path: of the ONNX file.
        model: complete but for the graph's initializers.
        initializers: in the order they are written.
        limit: largest file, in bytes, that holds its tensors itself.

    Returns:
        The ONNX file, then its data file if there is one; and each constant's checksum by name.
    """
    graph = model.graph.SerializeToString(deterministic=True)
    shell = ModelProto()
    shell.CopyFrom(model)
    shell.ClearField("graph")
    inline = sum(i.nbytes for i in initializers) + len(graph) <= limit
    data_path = path.with_name(path.name + ".data")
    headers, offset = [], 0
    for item in initializers:
        header = TensorProto(name=item.name, dims=item.shape, data_type=np_dtype_to_tensor_dtype(item.dtype))
        if not inline:
            _point_outside(header, data_path.name, offset, item.nbytes)
            offset += _aligned(item.nbytes)
        headers.append(header.SerializeToString(deterministic=True))
    raw = [_key(_TENSOR_RAW_DATA) + encoded(i.nbytes) if inline else b"" for i in initializers]
    lengths = [
        len(h) + len(r) + (i.nbytes if inline else 0) for h, r, i in zip(headers, raw, initializers, strict=True)
    ]
    prefixes = [_key(_GRAPH_INITIALIZER) + encoded(n) for n in lengths]
    checksums: dict[str, str] = {}
    total = len(graph) + sum(len(p) + n for p, n in zip(prefixes, lengths, strict=True))
    with path.open("wb") as file:
        sink = _HashedFile(file)
        sink.write(shell.SerializeToString(deterministic=True))
        sink.write(_key(_MODEL_GRAPH) + encoded(total))
        sink.write(graph)
        for prefix, header, tag, item in zip(prefixes, headers, raw, initializers, strict=True):
            sink.write(prefix + header + tag)
            if inline:
                _write_constant(sink, item, checksums)
    written = [WrittenFile(path, sink.nbytes, sink.digest.hexdigest())]
    if not inline:
        written.append(_write_data(data_path, initializers, checksums))
    return written, checksums


def _write_constant(sink: _HashedFile, item: Initializer, checksums: dict[str, str]) -> None:
    data = _data(item)
    checksums[item.name] = checksum(data)
    sink.write(data)


def _write_data(path: Path, initializers: Sequence[Initializer], checksums: dict[str, str]) -> WrittenFile:
    with path.open("wb") as file:
        sink = _HashedFile(file)
        for item in initializers:
            _write_constant(sink, item, checksums)
            sink.write(bytes(_aligned(item.nbytes) - item.nbytes))
    return WrittenFile(path, sink.nbytes, sink.digest.hexdigest())


def _data(item: Initializer) -> memoryview | bytes:
    array = np.asarray(item.value(), order="C")
    if array.shape != item.shape or array.dtype != item.dtype:
        raise AssertionError(f"{item.name}: {array.shape} {array.dtype}, announced {item.shape} {item.dtype}")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data if little.size else b""


def _point_outside(header: TensorProto, location: str, offset: int, length: int) -> None:
    header.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        header.external_data.add(key=key, value=value)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _EXTERNAL_ALIGNMENT) * _EXTERNAL_ALIGNMENT


def _key(field: int) -> bytes:
    return encoded(field << 3 | LENGTH_DELIMITED)
