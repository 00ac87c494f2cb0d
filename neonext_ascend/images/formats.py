"""Which files are pictures: what the installed Pillow opens by itself."""

from __future__ import annotations

from functools import cache

# Registered by Pillow, and no pictures all the same: documents (Ghostscript or Windows would draw them), measurements,
# films and captions. What a later Pillow, or a plugin of the user's, registers is a picture.
_NO_PICTURES = frozenset({"BUFR", "EPS", "FLI", "GRIB", "HDF5", "IPTC", "MCIDAS", "MPEG", "PDF", "WMF"})
EXPECTED = "expected PNG, JPEG, WebP, BMP, GIF or TIFF"


@cache
def openable() -> tuple[str, ...]:
    """Pillow's names of the formats that may be opened, the common ones first."""
    from PIL import Image

    Image.preinit()
    Image.init()
    return tuple(name for name in Image.ID if name not in _NO_PICTURES)


@cache
def suffixes() -> frozenset[str]:
    """How the names of pictures end, in lower case with the dot."""
    from PIL import Image

    known = {*openable(), "MPO"}  # an MPO is opened as the JPEG that it begins with
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in known)
