"""A PNG without what is no pixel: text and colour profiles, whose size or damage must not cost the picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEFT_OUT = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})


def without_text(file: BinaryIO) -> BytesIO | None:
    """The same PNG without text and profile; ``None`` where it is no PNG, or has neither.

    Source: PNG specification, section 5.3 (length, type, data, CRC).
    """
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return None
    kept, dropped = BytesIO(), False
    kept.write(_SIGNATURE)
    for head, length in _chunks(file):
        if head[4:] in _LEFT_OUT:
            dropped = True
            file.seek(length + 4, 1)
        else:
            kept.write(head + file.read(length + 4))
    kept.seek(0)
    return kept if dropped else None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while len(head := file.read(8)) == 8:
        yield head, struct.unpack(">I", head[:4])[0]
