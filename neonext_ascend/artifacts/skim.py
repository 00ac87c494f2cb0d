"""An ONNX file read without its tensors: a graph of a few kilobytes from a file of any size.

A protobuf message is a row of fields, each with its number and length in front. Long payloads (weights, mostly) are
skipped, short ones (shapes, axes) are kept, and the lengths of the messages around them are written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from neonext_ascend.errors import ArtifactError, FileAccessError

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
# Payloads up to here are kept: shape inference needs the small constants.
KEPT_BYTES = 4096


def skim_model(path: Path) -> onnx.ModelProto:
    """The model without the payload of tensors of more than :data:`KEPT_BYTES`; their names, dtypes and shapes stay.

    Raises:
        FileAccessError: it cannot be read, is empty, or ends too early.
        ArtifactError: it is no ONNX model.
    """
    try:
        FileAccessError.refuse_special(path, "an ONNX model")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise FileAccessError(f"{path}: the file is empty; expected an ONNX model; export it again")
            file.seek(0)
            kept = _Skimmer(file, path, size).message(size, onnx.ModelProto.DESCRIPTOR)
    except RecursionError:
        raise _no_model(path) from None
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(kept)
    except DecodeError:
        raise _no_model(path) from None
    if not model.ir_version and not model.HasField("graph"):
        raise _no_model(path)
    try:
        readable = _is_readable(model)
    except UnicodeDecodeError:
        readable = False
    if not readable:
        raise ArtifactError(f"{path}: holds names that are not UTF-8; expected an ONNX model; export it again")
    return model


def _is_readable(message: Any) -> bool:
    """Whether all its text is text: protobuf gives bytes, or raises, where a string is not UTF-8."""
    for field, value in message.ListFields():
        items = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
        if field.message_type is not None:
            if not all(map(_is_readable, items)):
                return False
        elif field.type == field.TYPE_STRING and not all(isinstance(item, str) for item in items):
            return False
    return True


class _Skimmer:
    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.file, self.path, self.size = file, path, size

    def message(self, end: int, descriptor: Any) -> bytes:
        """The message from here to ``end``, without long payloads."""
        kept = bytearray()
        while self.file.tell() < end:
            key = self._varint(end)
            number, kind = key >> 3, key & 7
            if number == 0 or kind not in (_VARINT, _LENGTH_DELIMITED, *_FIXED):
                raise _no_model(self.path)
            if kind == _VARINT:
                kept += _encoded(key) + _encoded(self._varint(end))
                continue
            length = _FIXED.get(kind) or self._varint(end)
            stop = self.file.tell() + length
            if stop > end:
                raise self._cut(end)
            field = descriptor.fields_by_number.get(number)
            if kind != _LENGTH_DELIMITED:
                kept += _encoded(key) + self.file.read(length)
            elif length <= KEPT_BYTES:
                kept += _encoded(key) + _encoded(length) + self.file.read(length)
            elif field is not None and field.message_type is not None:
                inner = self.message(stop, field.message_type)
                kept += _encoded(key) + _encoded(len(inner)) + inner
            else:
                self.file.seek(stop)
        return bytes(kept)

    def _varint(self, end: int) -> int:
        """A base-128 number, least significant group first."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1) if self.file.tell() < end else b""
            if not byte:
                raise self._cut(end)
            value |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return value
        raise _no_model(self.path)

    def _cut(self, end: int) -> FileAccessError | ArtifactError:
        """A field that ends behind the file's end was cut; one that ends behind its own message never was right."""
        if end == self.size:
            return FileAccessError(f"{self.path}: the model is truncated; copy it again")
        return _no_model(self.path)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _no_model(path: Path) -> ArtifactError:
    return ArtifactError(f"{path}: not an ONNX model; export it again")
