"""Exporters: a prepared network to an artifact.

The names load what they need when they are first used: a machine that only compiles or runs an OM needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neonext_ascend.exporters.to_om import CompiledOm, compile_om
    from neonext_ascend.exporters.to_onnx import OnnxArtifact, export_onnx

_HOMES = {"OnnxArtifact": "to_onnx", "export_onnx": "to_onnx", "CompiledOm": "to_om", "compile_om": "to_om"}

__all__ = ["CompiledOm", "OnnxArtifact", "compile_om", "export_onnx"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
