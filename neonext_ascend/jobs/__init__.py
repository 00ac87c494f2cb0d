"""Jobs: what each command does, without printing; the Python interface.

The names load what they need when they are first used. No job is named as a file of this room is: at its second use
Python would find the file.
"""

from __future__ import annotations

import importlib
from typing import Any

# Job -> the file that holds it.
_HOMES: dict[str, str] = {}

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
