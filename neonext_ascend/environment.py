"""What this machine has: versions of the libraries, and telemetry switched off."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")


def disable_telemetry() -> None:
    """Keep onnxruntime from reporting; must come before its import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def versions() -> dict[str, str]:
    """Python, platform and library versions, without importing the libraries."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
