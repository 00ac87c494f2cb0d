"""Files' names as text: Python has surrogates for bytes that its locale does not read, libraries in C++ take UTF-8."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_BYTES = re.compile("[\udc80-\udcff]+")


def readable(text: str) -> str:
    """``text`` with the bytes in it read as UTF-8, whatever the locale; those that are none become ``\\xe8``."""
    return _BYTES.sub(lambda run: run[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), text)


def json_text(data: Any, indent: int | None = None) -> str:
    """JSON whose texts are text: a file's name of other bytes than UTF-8 would make it none for many readers."""
    return json.dumps(_readable(data), indent=indent, allow_nan=False)


def _readable(data: Any) -> Any:
    if isinstance(data, str):
        return readable(data)
    if isinstance(data, Mapping):
        return {name: _readable(value) for name, value in data.items()}
    return [_readable(value) for value in data] if isinstance(data, list | tuple) else data


def utf8_path(path: Path) -> str | None:
    """A path for a library that encodes it as UTF-8; ``None`` where its bytes are none."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return None


@contextlib.contextmanager
def utf8_alias(path: Path) -> Iterator[str]:
    """A path for such a library: its own, or one by the number under which the file or folder is open here.

    Raises:
        OSError: it cannot be opened.
    """
    name = utf8_path(path)
    if name is not None:
        yield name
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
