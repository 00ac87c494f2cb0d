"""The authors' resize and centre crop; memory follows what the crop keeps, not how long the picture is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture up to this many times as long as what is kept of it is resized whole, exactly as the authors do. Of a longer
# one only the part is resized that the crop needs; Pillow may then go along its sides in another order, and takes where
# the part begins as a 32-bit float: a pixel differs by one level at most.
_WHOLE = 40


@dataclass(frozen=True, slots=True)
class _Side:
    """One side: cut ``first:last`` from the source, resize ``begin`` to ``end`` of that to ``size``, then crop."""

    first: int
    last: int
    begin: float
    end: float
    size: int
    crop: int


def resize_and_crop(image: Image, image_size: tuple[int, int], crop_fraction: float) -> Image:
    """The short side resized to ``round(size / crop_fraction)`` with Pillow's bilinear filter, and the centre of that.

    Args:
        image: in RGB.
        image_size: height and width of the result in pixels.
        crop_fraction: the part of the resized short side that the crop keeps.
    """
    from PIL.Image import Resampling

    height, width = image_size
    target_h, target_w = round(height / crop_fraction), round(width / crop_fraction)
    # Whole numbers throughout: a float would round some sizes to one pixel less.
    if target_h * image.width >= target_w * image.height:
        resized_w, resized_h = image.width * target_h // image.height, target_h
    else:
        resized_w, resized_h = target_w, image.height * target_w // image.width
    whole = _WHOLE * max(target_h, target_w)
    x, y = _side(image.width, resized_w, width, whole), _side(image.height, resized_h, height, whole)
    if (x.last - x.first, y.last - y.first) != image.size:
        image = image.crop((x.first, y.first, x.last, y.last))
    image = image.resize((x.size, y.size), Resampling.BILINEAR, box=(x.begin, y.begin, x.end, y.end))
    return image.crop((x.crop, y.crop, x.crop + width, y.crop + height))


def _side(length: int, resized: int, kept: int, whole: int) -> _Side:
    offset = round((resized - kept) / 2)
    if resized <= whole:
        return _Side(0, length, 0, length, resized, offset)
    scale = length / resized
    begin, end = offset * scale, (offset + kept) * scale
    margin = max(1.0, scale) + 1  # how far the bilinear filter reaches, and a pixel for rounding
    first, last = max(0, math.floor(begin - margin)), min(length, math.ceil(end + margin))
    return _Side(first, last, begin - first, end - first, kept, 0)
