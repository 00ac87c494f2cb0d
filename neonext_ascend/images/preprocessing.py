"""Decoded pictures to network inputs: resize, crop, normalise; one way for every command.

The steps are those of the authors' evaluation: the short side is resized to ``round(size / crop_fraction)`` with
Pillow's bilinear filter, the centre is cropped, and channels are normalised in RGB order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.images.resizing import resize_and_crop
from neonext_ascend.spec import OPTIONAL, Bounds

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Beyond these bounds, and those of the crop, a picture would be enlarged past any memory.
Side = Annotated[int, Bounds(ge=1, le=2**14)]
_THREE = Bounds(min_length=3, max_length=3)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes ``(3, H, W)``.

    Args:
        image_size: height and width in pixels.
        resize: what the crop fraction means, in words.
        crop_fraction: the part of the resized short side that the crop keeps; ``None`` stretches the whole picture
            to the image size instead.
        interpolation, channels: what this version does; another is refused.
        mean, std: of each channel in RGB order, for values from 0 to 1.
        normalised_on: ``host``, or ``device`` where the artifact takes pixels and normalises them itself (AIPP).
    """

    image_size: tuple[Side, Side]
    resize: Literal["stretch", "short side, then centre crop"] = field(init=False)
    crop_fraction: Annotated[float, Bounds(ge=0.05, le=1)] | None = 0.875
    interpolation: Literal["bilinear"] = field(default="bilinear", kw_only=True)
    channels: Literal["RGB"] = field(default="RGB", kw_only=True)
    mean: Annotated[tuple[Annotated[float, Bounds(ge=-1000, le=1000)], ...], _THREE] = IMAGENET_MEAN
    std: Annotated[tuple[Annotated[float, Bounds(ge=1e-6, le=1000)], ...], _THREE] = IMAGENET_STD
    normalised_on: Literal["host", "device"] = field(default="host", metadata=OPTIONAL)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resize", "stretch" if self.crop_fraction is None else "short side, then centre crop")

    def __call__(self, image: Image) -> NDArray[np.float32 | np.uint8]:
        """A decoded picture as the artifact takes it: ``(3, H, W)`` float32, or its pixels for the device."""
        pixels = self.pixels(image)
        return pixels if self.normalised_on == "device" else self.normalise(pixels)

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """A decoded picture resized and cropped: ``(H, W, 3)`` uint8 in RGB order."""
        from PIL import Image as PillowImage

        height, width = self.image_size
        if image.mode != "RGB":
            image = image.convert("RGB")
        if self.crop_fraction is None:
            image = image.resize((width, height), PillowImage.Resampling.BILINEAR)
        else:
            image = resize_and_crop(image, self.image_size, self.crop_fraction)
        return np.asarray(image, dtype=np.uint8)

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels ``(..., H, W, 3)`` to ``(..., 3, H, W)``: ``(pixel / 255 - mean) / std``."""
        scaled = pixels.astype(np.float32) / np.float32(255)
        normalised = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(np.moveaxis(normalised, -1, -3), dtype=np.float32)


def preprocessing_for(name: str, image_size: tuple[int, int]) -> Preprocessing:
    """How pictures of this model are prepared: ``neonext_nano`` was trained on whole stretched pictures."""
    if name == "neonext_nano":
        return Preprocessing(image_size, crop_fraction=None, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Preprocessing(image_size)
