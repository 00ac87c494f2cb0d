"""Protobuf's wire format, of ONNX files: a message is a row of fields, each with its number and kind in front.

A cut shows as a field that ends behind the file's end.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from neonext_ascend.errors import ArtifactError, FileAccessError

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_HIGHEST = 2**29 - 1  # number of a field


def encoded(number: int) -> bytes:
    """A number in base 128, least significant group first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def no_model(path: Path) -> ArtifactError:
    """What to raise for a file of another kind."""
    return ArtifactError(f"{path}: not an ONNX model; export it again")


class Fields:
    """Walks the fields of an ONNX file.

    Args:
        file: open at a field, of ``size`` bytes.
        path: of the file, for the words.
    """

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.file, self.path, self.size = file, path, size

    def next(self, end: int, highest: int = _HIGHEST) -> tuple[int, int, int]:
        """Number, kind and length of the field here; its payload is read next.

        Args:
            end: of the message.
            highest: number that a field can have.

        Raises:
            FileAccessError: the file ends too early.
            ArtifactError: this is no field.
        """
        key = self._number(end)
        number, kind = key >> 3, key & 7
        if not 1 <= number <= highest or kind not in (VARINT, LENGTH_DELIMITED, *_FIXED):
            raise no_model(self.path)
        if kind == VARINT:
            start = self.file.tell()
            self._number(end)
            length = self.file.tell() - start
            self.file.seek(start)
        else:
            length = _FIXED.get(kind) or self._number(end)
        if self.file.tell() + length > end:
            raise self._cut(end)
        return number, kind, length

    def _number(self, end: int) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.file.read(1) if self.file.tell() < end else b""
            if not byte:
                raise self._cut(end)
            value |= (byte[0] & 127) << shift
            if byte[0] < 128:
                return value
        raise no_model(self.path)

    def _cut(self, end: int) -> FileAccessError | ArtifactError:
        """A field that ends behind the file's end was cut; one that ends behind its own message never was right."""
        if end == self.size:
            return FileAccessError(f"{self.path}: the model is truncated; copy it again")
        return no_model(self.path)
