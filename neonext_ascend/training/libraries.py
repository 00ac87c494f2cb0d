"""One seam for the library that augments: torchvision where it imports, else kornia.

Both give modules that take pictures ``(N, 3, H, W)`` with values from 0 to 1 and draw from torch's global generator.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor

from neonext_ascend.errors import ToolchainError

Transform = Callable[[Tensor], Tensor]
_EXTRA = "pip install '.[train]' in the checkout"


@cache
def library() -> tuple[str, Any]:
    """The library's name and its module of transforms.

    Raises:
        ToolchainError: there is none.
    """
    try:
        from torchvision.transforms import v2

        return "torchvision", v2
    except (ImportError, RuntimeError, AttributeError):  # built for another torch, it raises any of these
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kornia.augmentation
            import kornia.augmentation.auto
    except ImportError as error:
        raise ToolchainError(f"augmentation needs torchvision or kornia: {error}; {_EXTRA}") from None
    return "kornia", kornia.augmentation


def rand_augment(operations: int, magnitude: int) -> Transform:
    """RandAugment (Cubuk et al. 2020) with a strength of ``magnitude`` of 30."""
    name, made_by = library()
    if name == "torchvision":
        transform: Transform = made_by.RandAugment(num_ops=operations, magnitude=magnitude, num_magnitude_bins=31)
    else:
        transform = made_by.auto.RandAugment(operations, magnitude)
    return transform


def affine(degrees: float, shift: float, zoom: float) -> Transform:
    """Turned, moved and scaled at random; what comes in from outside is black."""
    name, made_by = library()
    given = {"degrees": degrees, "translate": (shift, shift), "scale": (1 - zoom, 1 + zoom)}
    transform: Transform = made_by.RandomAffine(**given, **({} if name == "torchvision" else {"p": 1.0}))
    return transform


def flip(chance: float) -> Transform:
    """Mirrored at random."""
    transform: Transform = library()[1].RandomHorizontalFlip(p=chance)
    return transform


def erasing(chance: float) -> Transform:
    """Random erasing (Zhong et al. 2020): 2 % to 33 % of a picture, at most 1 : 3.3, become 0."""
    transform: Transform = library()[1].RandomErasing(p=chance, scale=(0.02, 1 / 3), ratio=(0.3, 3.3), value=0)
    return transform
