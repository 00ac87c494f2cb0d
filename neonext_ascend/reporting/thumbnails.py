"""Pictures small enough to stand on a page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from neonext_ascend.errors import NeoNextError

_SIDE = 96  # pixels


def thumbnails(pictures: Mapping[str, Path]) -> dict[str, bytes]:
    """PNG files, by the same names; one that can no longer be read is left out.

    Args:
        pictures: name -> file.
    """
    from neonext_ascend.images.decoding import read_picture

    found = {}
    for name, path in pictures.items():
        try:
            image = read_picture(path).image
        except NeoNextError:
            continue
        image.thumbnail((_SIDE, _SIDE))
        written = io.BytesIO()
        image.save(written, "PNG")
        found[name] = written.getvalue()
    return found
