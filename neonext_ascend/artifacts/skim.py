"""An ONNX file read without its tensors: a graph of a few kilobytes from a file of any size.

Long payloads (weights, mostly) are skipped, short ones (shapes, axes) are kept, and the lengths of the messages around
them are written anew. What is skipped of a tensor is counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from neonext_ascend.artifacts.tensors import NUMBERS, placeholder, refuse_unreadable
from neonext_ascend.artifacts.wire import LENGTH_DELIMITED, Fields, encoded, no_model
from neonext_ascend.errors import FileAccessError

# Payloads up to here are kept: shape inference needs the small constants.
KEPT_BYTES = 4096
_PIECE = 2**20


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
            kept = _Skimmer(Fields(file, path, size)).message(size, onnx.ModelProto.DESCRIPTOR)
    except RecursionError:
        raise no_model(path) from None
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(kept)
    except DecodeError:
        raise no_model(path) from None
    if not model.ir_version and not model.HasField("graph"):
        raise no_model(path)
    refuse_unreadable(model, path)
    return model


class _Skimmer:
    def __init__(self, fields: Fields) -> None:
        self.fields, self.file = fields, fields.file

    def message(self, end: int, descriptor: Any) -> bytes:
        """The message from here to ``end``, without long payloads."""
        kept = bytearray()
        while self.file.tell() < end:
            number, kind, length = self.fields.next(end)
            key = encoded(number << 3 | kind)
            field = descriptor.fields_by_number.get(number)
            if kind != LENGTH_DELIMITED:
                kept += key + self.file.read(length)
            elif length <= KEPT_BYTES:
                kept += key + encoded(length) + self.file.read(length)
            elif field is not None and field.message_type is not None:
                inner = self.message(self.file.tell() + length, field.message_type)
                kept += key + encoded(len(inner)) + inner
            elif field is not None and descriptor is onnx.TensorProto.DESCRIPTOR and field.name in NUMBERS:
                kept += placeholder(field.name, self._count(NUMBERS[field.name], length))
            else:
                self.file.seek(length, 1)
        return bytes(kept)

    def _count(self, width: int | None, length: int) -> int:
        """Skip numbers of ``width`` bytes, or in base 128; how many there are."""
        if width is not None:
            self.file.seek(length, 1)
            return length // width
        pieces = (self.file.read(min(_PIECE, length - start)) for start in range(0, length, _PIECE))
        # Each ends with a byte below 128.
        return sum(len(piece.translate(None, bytes(range(128, 256)))) for piece in pieces)
