"""A decoded picture to a training input: cropped, augmented, normalised; each draw by the picture's own seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.training import libraries
from neonext_ascend.training.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

_RATIOS = math.log(3 / 4), math.log(4 / 3)
_TRIES = 10


@dataclass
class Augmentation:
    """What the recipe does to each picture.

    Args:
        recipe: the recipe.
        prepare: how evaluation prepares pictures; mean, standard deviation and size are its.
    """

    recipe: Recipe
    prepare: Preprocessing
    _before: list[libraries.Transform] = field(init=False)
    _after: list[libraries.Transform] = field(init=False)

    def __post_init__(self) -> None:
        recipe, before = self.recipe, list[libraries.Transform]()
        if recipe.flip:
            before.append(libraries.flip(recipe.flip))
        if recipe.rotate or recipe.shift or recipe.zoom:
            before.append(libraries.affine(recipe.rotate, recipe.shift, recipe.zoom))
        if recipe.randaugment_ops:
            before.append(libraries.rand_augment(recipe.randaugment_ops, recipe.randaugment_magnitude))
        self._before, self._after = before, [libraries.erasing(recipe.erasing)] if recipe.erasing else []

    def __call__(self, image: Image, seed: int) -> Tensor:
        """A picture in RGB to ``(3, H, W)`` float32; the same picture and seed give the same tensor."""
        torch.default_generator.manual_seed(seed)
        if self.recipe.crop < 1:
            whole = replace(self.prepare, crop_fraction=None)
            pixels = whole.pixels(image.crop(crop_box(image.width, image.height, self.recipe.crop)))
        else:
            pixels = self.prepare.pixels(image)
        x = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).float() / 255
        for transform in self._before:
            x = transform(x)
        if self.recipe.fade:
            x = x * (1 - self.recipe.fade * torch.rand(()))
        mean, std = (torch.tensor(given).view(3, 1, 1) for given in (self.prepare.mean, self.prepare.std))
        x = (x - mean) / std
        for transform in self._after:
            x = transform(x)
        return x[0].contiguous()


def crop_box(width: int, height: int, least: float) -> tuple[int, int, int, int]:
    """A random part as Pillow crops it: of ``least`` to all of the area, 3 : 4 to 4 : 3 (Szegedy et al. 2015).

    Where ten tries give none that fits, the largest centred one of these shapes. Drawn here, on Pillow's pictures, for
    the libraries resize whole tensors.
    """
    for _ in range(_TRIES):
        area = width * height * float(torch.empty(()).uniform_(least, 1))
        ratio = math.exp(float(torch.empty(()).uniform_(*_RATIOS)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = int(torch.randint(width - w + 1, ())), int(torch.randint(height - h + 1, ()))
            return x, y, x + w, y + h
    ratio = min(max(width / height, 3 / 4), 4 / 3)
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    x, y = (width - w) // 2, (height - h) // 2
    return x, y, x + max(w, 1), y + max(h, 1)
