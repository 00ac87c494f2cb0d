"""Decoded pictures to network inputs: resize, crop, normalise; one way for every command.

The steps are those of the authors' evaluation: the short side is resized to ``round(size / crop_fraction)`` with
Pillow's bilinear filter, the centre is cropped, and channels are normalised in RGB order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError
from neonext_ascend.images.resizing import resize_and_crop

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_MAX_SIDE = 2**14
_MIN_CROP = 0.05


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes ``(3, H, W)``.

    Args:
        image_size: height and width in pixels.
        crop_fraction: the part of the resized short side that the crop keeps; ``None`` stretches the whole picture
            to the image size instead.
        mean, std: of each channel in RGB order, for values from 0 to 1.
        normalised_on: ``host``, or ``device`` where the artifact takes pixels and normalises them itself (AIPP).
    """

    image_size: tuple[int, int]
    crop_fraction: float | None = 0.875
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    normalised_on: Literal["host", "device"] = "host"

    def to_json(self) -> dict[str, Any]:
        """The form in the manifest."""
        return {
            "image_size": list(self.image_size),
            "resize": "stretch" if self.crop_fraction is None else "short side, then centre crop",
            "crop_fraction": self.crop_fraction,
            "interpolation": "bilinear",
            "channels": "RGB",
            "mean": list(self.mean),
            "std": list(self.std),
            "normalised_on": self.normalised_on,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Inverse of :meth:`to_json`.

        Raises:
            ArtifactError: something is missing or not of this version's kind.
        """
        try:
            if (data["interpolation"], data["channels"]) != ("bilinear", "RGB"):
                raise ArtifactError("the manifest's preprocessing is not bilinear RGB; update neonext-ascend")
            fraction = data["crop_fraction"]
            height, width = (int(n) for n in data["image_size"])
            mean, std = (tuple(float(v) for v in data[key]) for key in ("mean", "std"))
            crop = None if fraction is None else float(fraction)
            if len(mean) != 3 or len(std) != 3 or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
                raise ValueError("mean and std are not three numbers each")
            # Beyond these bounds a picture would be enlarged past any memory.
            if not 1 <= min(height, width) <= max(height, width) <= _MAX_SIDE:
                raise ValueError(f"image size {height}x{width}")
            if crop is not None and not _MIN_CROP <= crop <= 1:
                raise ValueError(f"crop fraction {crop}")
            where = data.get("normalised_on", "host")
            if where not in ("host", "device"):
                raise ValueError(f"normalised on {where!r}")
            return cls((height, width), crop, mean, std, where)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the manifest's preprocessing cannot be read: {error}") from None

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
