"""Exporters: a prepared network to an artifact.

The names load what they need when they are first used: a machine that only compiles or runs an OM needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neonext_ascend.exporters.om_file.compile import CompiledOm, compile_om
    from neonext_ascend.exporters.onnx_file.export import OnnxArtifact, export_onnx

_HOMES = {
    "OnnxArtifact": "onnx_file.export",
    "export_onnx": "onnx_file.export",
    "CompiledOm": "om_file.compile",
    "compile_om": "om_file.compile",
}

__all__ = ["CompiledOm", "OnnxArtifact", "compile_om", "export_onnx"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
