"""Safetensors files, checked before they are read: the header must describe exactly the bytes that follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from neonext_ascend.artifacts.names import utf8_alias
from neonext_ascend.errors import CheckpointError, FileAccessError

_MAX_HEADER = 100_000_000  # bytes; the format's own limit


def looks_like(head: bytes) -> bool:
    """Whether a file that starts with ``head`` (at least 9 bytes) is safetensors: a length, then JSON."""
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER


def describe_index(path: Path, head: bytes) -> str | None:
    """What to do with the JSON index of a checkpoint in several files; ``None`` where ``head`` is not of JSON."""
    if not head.lstrip().startswith(b"{"):
        return None
    try:
        files = set(json.loads(path.read_bytes()[:_MAX_HEADER])["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "a JSON file; give the checkpoint itself"
    return (
        f"the index of a checkpoint in {len(files)} files; join them: safetensors.torch.save_file("
        "{k: v for file in FILES for k, v in safetensors.torch.load_file(file).items()}, 'weights.safetensors')"
    )


def load(path: Path) -> dict[str, Tensor]:
    """All tensors by name.

    Raises:
        FileAccessError: the file ends before its header says so.
        CheckpointError: the header is not what the format asks for.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_length(path)
    try:
        with utf8_alias(path) as alias:
            return load_file(alias)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not valid safetensors: {error}") from None


def _check_length(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise FileAccessError(f"{path}: the file is truncated inside its header; copy it again")
        header = file.read(length)
    try:
        described: Any = json.loads(header)
        ends = [int(t["data_offsets"][1]) for name, t in described.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        raise CheckpointError(f"{path}: the safetensors header is not what the format asks for") from None
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        raise FileAccessError(f"{path}: the file is truncated: {size} bytes of {expected}; copy it again")
