"""An ONNX file looked at before it is loaded: whether it is whole, without reading its tensors.

A protobuf message is a row of fields, each with its number and length in front, so a cut shows as a field that ends
behind the file's end.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.files import foreign

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
# ModelProto has fields 1 to 8, 14, 20, 25 and 26 (onnx.proto); a higher number means another kind of file.
_HIGHEST_FIELD = 100


def check_onnx_file(path: Path) -> None:
    """Refuse what cannot be a whole ONNX model.

    Raises:
        FileAccessError: it cannot be read, is empty, or ends too early.
        ArtifactError: it is no ONNX model.
    """
    try:
        FileAccessError.refuse_special(path, "an ONNX model")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if what := foreign.describe(file.read(foreign.HEAD), "the ONNX file"):
                raise ArtifactError(f"{path}: {what}")
            file.seek(0)
            if size == 0:
                raise FileAccessError(f"{path}: the file is empty; expected an ONNX model; export it again")
            while file.tell() < size:
                _skip_field(file, path, size)
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None


def _skip_field(file: BinaryIO, path: Path, size: int) -> None:
    key = _varint(file, path)
    number, kind = key >> 3, key & 7
    if not 1 <= number <= _HIGHEST_FIELD or kind not in (_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32):
        raise ArtifactError(f"{path}: not an ONNX model; export it again")
    if kind == _VARINT:
        _varint(file, path)
        return
    length = {_FIXED64: 8, _FIXED32: 4}.get(kind) or _varint(file, path)
    if file.tell() + length > size:
        raise FileAccessError(f"{path}: the model is truncated; copy it again")
    file.seek(length, 1)


def _varint(file: BinaryIO, path: Path) -> int:
    """A base-128 number, least significant group first."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise FileAccessError(f"{path}: the model is truncated; copy it again")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ArtifactError(f"{path}: not an ONNX model; export it again")
