"""How many numbers of a constant are not zero, read piece by piece from the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto

from neonext_ascend.artifacts.wire import LENGTH_DELIMITED, Fields
from neonext_ascend.errors import FileAccessError

# Fields of ModelProto, GraphProto and TensorProto, in the order in which protobuf writes them.
_GRAPH, _INITIALIZER, _DTYPE, _NAME, _RAW = 7, 5, 2, 8, 9
# Bits of a number, and which of them are not its sign.
_KINDS: Mapping[int, tuple[str, int]] = {
    TensorProto.FLOAT: ("<u4", 0x7FFFFFFF),
    TensorProto.FLOAT16: ("<u2", 0x7FFF),
    TensorProto.BFLOAT16: ("<u2", 0x7FFF),
    TensorProto.INT8: ("u1", 0xFF),
    TensorProto.UINT8: ("u1", 0xFF),
}
_PIECE = 2**20


def nonzero_counts(path: Path, names: Collection[str]) -> dict[str, int]:
    """Of the initializers of these names whose numbers lie in the file itself, as raw bytes of fp32, fp16 or int8.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _Counter(Fields(file, path, size), names).counts(size)
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None


class _Counter:
    def __init__(self, fields: Fields, names: Collection[str]) -> None:
        self._fields, self._file, self._names = fields, fields.file, names

    def counts(self, size: int) -> dict[str, int]:
        """Of the whole model."""
        found: dict[str, int] = {}
        while self._file.tell() < size:
            end = self._enter(size, _GRAPH)
            while self._file.tell() < end:
                found.update(self._tensor(self._enter(end, _INITIALIZER)))
        return found

    def _enter(self, end: int, wanted: int) -> int:
        """The end of the next field's message; what is another field is skipped, and ends here."""
        number, kind, length = self._fields.next(end)
        if number != wanted or kind != LENGTH_DELIMITED:
            self._file.seek(length, 1)
            return self._file.tell()
        return self._file.tell() + length

    def _tensor(self, end: int) -> dict[str, int]:
        name, dtype, raw = "", 0, None
        while self._file.tell() < end:
            number, _, length = self._fields.next(end)
            if number == _NAME:
                name = self._file.read(length).decode(errors="replace")
            elif number == _DTYPE:
                dtype = int.from_bytes(self._file.read(length)[:1], "little")
            else:
                raw = (self._file.tell(), length) if number == _RAW else raw
                self._file.seek(length, 1)
        if raw is None or name not in self._names or dtype not in _KINDS:
            return {}
        self._file.seek(raw[0])
        count = self._nonzero(raw[1], *_KINDS[dtype])
        self._file.seek(end)
        return {name: count}

    def _nonzero(self, length: int, kind: str, bits: int) -> int:
        width, found = np.dtype(kind).itemsize, 0
        for start in range(0, length - length % width, _PIECE):
            piece = self._file.read(min(_PIECE, length - length % width - start))
            found += int(np.count_nonzero(np.frombuffer(piece, kind) & bits))
        return found
