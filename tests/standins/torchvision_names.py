"""The names of torchvision that timm mentions when it is imported, and that a NeoNeXt never uses."""

from __future__ import annotations

import enum
import sys
from types import ModuleType
from typing import Any

from torch import nn

_MODULES = ("", ".datasets", ".ops", ".ops.misc", ".transforms", ".transforms.functional")


class InterpolationMode(enum.Enum):
    """timm makes a table of them."""

    NEAREST, BILINEAR, BICUBIC = "nearest", "bilinear", "bicubic"
    BOX, HAMMING, LANCZOS = "box", "hamming", "lanczos"


def install() -> None:
    """Put modules in place of those that are not installed; any other name in them is a class of its own."""

    def mentioned(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return InterpolationMode if name == "InterpolationMode" else type(name, (nn.Module,), {})

    for name in _MODULES:
        module = ModuleType(f"torchvision{name}")
        module.__path__ = []
        module.__getattr__ = mentioned  # type: ignore[method-assign] # PEP 562
        sys.modules[module.__name__] = module
        parent, _, last = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
