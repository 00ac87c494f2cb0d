"""What an ONNX file says of a tensor held against the numbers that are there, in the file or beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from neonext_ascend.artifacts.wire import no_model
from neonext_ascend.errors import ArtifactError, FileAccessError

# A tensor's fields of numbers, with the bytes of each; None where numbers are in base 128.
NUMBERS: Mapping[str, int | None] = {
    **{"raw_data": 1, "float_data": 4, "double_data": 8},
    **{"int32_data": None, "int64_data": None, "uint64_data": None},
}
# Bits of a number in raw_data, and the field of those that are not raw; strings are never raw.
_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **{"FLOAT8E8M0": 8, "FLOAT": 32, "INT32": 32, "UINT32": 32, "DOUBLE": 64, "INT64": 64, "UINT64": 64},
    **{"COMPLEX64": 64, "COMPLEX128": 128},
}
_FIELDS = {
    **{"FLOAT": "float_data", "COMPLEX64": "float_data", "DOUBLE": "double_data", "COMPLEX128": "double_data"},
    **{"INT64": "int64_data", "UINT32": "uint64_data", "UINT64": "uint64_data", "STRING": "string_data"},
}
_SKIPPED = "skipped "


def placeholder(field: str, count: int) -> bytes:
    """A piece of a tensor's message in place of ``count`` numbers of a field that are left out."""
    piece = TensorProto()
    piece.external_data.add(key=f"{_SKIPPED}{field}", value=str(count))
    written: bytes = piece.SerializeToString(deterministic=True)
    return written


def tensors(message: Any) -> Iterator[TensorProto]:
    """Every tensor in a model or a part of one, those in nodes' bodies and functions included."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if isinstance(value, Sequence) else (value,):
                if isinstance(item, TensorProto):
                    yield item
                else:
                    yield from tensors(item)


def is_external(tensor: TensorProto) -> bool:
    """Whether its numbers are in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def dtype_name(dtype: int) -> str:
    """Of ``TensorProto.DataType``, also of one that is none."""
    return TensorProto.DataType.Name(dtype) if dtype in TensorProto.DataType.values() else f"dtype {dtype}"


def fault_of(tensor: TensorProto) -> str:
    """Why a tensor's dtype, shape and numbers in the file do not fit together; empty where they do."""
    kind, counts = dtype_name(tensor.data_type), _counts(tensor)
    if kind not in _BITS and kind != "STRING":
        return f"is of {kind}, which is not known here"
    if any(size < 0 for size in tensor.dims):
        return f"has the shape {_shape(tensor)}"
    size, field = math.prod(tensor.dims), _FIELDS.get(kind, "int32_data")
    if is_external(tensor) and kind != "STRING":
        return f"is in another file, and has {' and '.join(counts)} too" if counts else ""
    # A complex number is two, and of those below a byte as many as go into one are one.
    allowed = {field: size * 2 if kind.startswith("COMPLEX") else -(-size * min(_BITS.get(kind, 8), 8) // 8)}
    if kind != "STRING":
        allowed["raw_data"] = _nbytes(tensor)
    if len(counts) > 1 or not counts.keys() <= allowed.keys():
        return f"has {' and '.join(counts)}; {kind} has {' or '.join(allowed)}"
    found, count = next(iter(counts.items()), ("raw_data" if kind != "STRING" else field, 0))
    if count == allowed[found]:
        return ""
    unit = "bytes" if found == "raw_data" else f"entries of {found}"
    return f"has {count} {unit}; {_shape(tensor)} of {kind} takes {allowed[found]}"


def place_of(tensor: TensorProto, model: Path) -> tuple[Path, int]:
    """Where the numbers of a tensor of an ONNX file lie outside it: the file and the first byte.

    Raises:
        FileAccessError: that file is missing or too short.
        ArtifactError: it lies outside the model's folder, or the numbers are not as many as the shape takes.
    """
    said = {entry.key: entry.value for entry in tensor.external_data}
    location, needed = said.get("location", ""), _nbytes(tensor)
    told, path = f"{model}: its external data {location!r}", model.parent / location
    try:
        offset, length = int(said.get("offset") or 0), int(said.get("length") or needed)
        # As ONNX Runtime has it: a cache made of links may hold both files elsewhere, beside each other.
        folders = model.parent.resolve(), model.resolve().parent
        inside = any(path.resolve().is_relative_to(folder) for folder in folders)
        if PurePath(location).is_absolute() or not inside:
            raise ArtifactError(f"{told} lies outside its folder; take the file from its maker")
        if not path.is_file():
            raise FileAccessError(f"{told} is missing; keep it beside the ONNX file")
        size = path.stat().st_size
    except (ValueError, OSError, RuntimeError):  # no numbers, no name, or a circle of links
        raise ArtifactError(f"{told} cannot be found or read; export it again") from None
    if offset < 0 or length != needed:
        raise ArtifactError(f"{told} holds {length} bytes where {_shape(tensor)} takes {needed}; export it again")
    if offset + needed > size:
        raise FileAccessError(f"{told} is too short; copy it again")
    return path, offset


def load_model(path: Path) -> onnx.ModelProto:
    """A whole ONNX file with its external data in it, whose tensors are what it says.

    Raises:
        FileAccessError: it, or a file of its data, cannot be read, is missing or too short.
        ArtifactError: it is no ONNX model, a tensor is not what the file says, or its data lie elsewhere.
    """
    try:
        model: onnx.ModelProto = onnx.load(str(path), load_external_data=False)
        refuse_unreadable(model, path)
        for tensor in tensors(model):
            if fault := fault_of(tensor):
                raise ArtifactError(f"{path}: {tensor.name or 'a constant'} {fault}; export it again")
            if is_external(tensor):
                beside, offset = place_of(tensor, path)
                with beside.open("rb") as file:
                    file.seek(offset)
                    tensor.raw_data = file.read(_nbytes(tensor))
                tensor.ClearField("data_location")
                tensor.ClearField("external_data")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None
    except (DecodeError, UnicodeDecodeError):
        raise no_model(path) from None
    return model


def _nbytes(tensor: TensorProto) -> int:
    """What its shape and dtype take in raw data."""
    size: int = math.prod(tensor.dims)
    return -(-size * _BITS[dtype_name(tensor.data_type)] // 8)


def _shape(tensor: TensorProto) -> str:
    return "x".join(map(str, tensor.dims)) or "a scalar"


def _counts(tensor: TensorProto) -> dict[str, int]:
    """How many numbers are in each field, where there are any."""
    counts = {field: len(getattr(tensor, field)) for field in (*NUMBERS, "string_data")}
    for entry in tensor.external_data:
        if entry.key.startswith(_SKIPPED):
            counts[entry.key.removeprefix(_SKIPPED)] += int(entry.value)
    return {field: count for field, count in counts.items() if count}


def refuse_unreadable(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a model of which a text is none.

    Raises:
        ArtifactError: a name is not UTF-8.
    """
    try:
        readable = _is_readable(model)
    except UnicodeDecodeError:
        readable = False
    if not readable:
        raise ArtifactError(f"{path}: holds names that are not UTF-8; expected an ONNX model; export it again")


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
