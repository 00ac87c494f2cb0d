"""neonext-ascend: NeoNeXt checkpoints to verified ONNX files for Ascend NPUs.

Names load what they need when they are first used; importing the package alone loads neither torch nor onnx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neonext_ascend._version import __version__
from neonext_ascend.machine.npu import keep_torch_npu_quiet

if TYPE_CHECKING:
    from neonext_ascend import exporters, jobs, kernels, models, passes, runtimes, verify
    from neonext_ascend.checkpoints.loading import create
    from neonext_ascend.checkpoints.pretrained import from_pretrained, save_pretrained
    from neonext_ascend.models.registered import register_timm

# Whatever is imported from here on, this has run before it.
keep_torch_npu_quiet()

_HOMES = {
    "create": "checkpoints.loading",
    "from_pretrained": "checkpoints.pretrained",
    "register_timm": "models.registered",
    "save_pretrained": "checkpoints.pretrained",
}

__all__ = [
    "__version__",
    "create",
    "exporters",
    "from_pretrained",
    "jobs",
    "kernels",
    "models",
    "passes",
    "register_timm",
    "runtimes",
    "save_pretrained",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"neonext_ascend.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"neonext_ascend.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
