"""A client of the server: rows or pictures in, logits or labels out; needs the extra ``[serve]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neonext_ascend.serving.refusals import RefusedError

if TYPE_CHECKING:
    from neonext_ascend.client.calls import Client

__all__ = ["Client", "RefusedError"]


def __getattr__(name: str) -> Any:
    if name == "Client":  # which an address alone does without
        from neonext_ascend.client import calls

        return calls.Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
