"""Requests that get no result: an HTTP status and its words; gRPC's codes are told from it."""

from __future__ import annotations

from neonext_ascend.errors import NeoNextError


class RefusedError(NeoNextError):
    """An honest no to one request.

    Args:
        status: of HTTP; 400 wrong request, 401 no key, 404 unknown, 413 too large, 429 queue full, 500 the device gave
            no good answer, 503 not now, 504 too late.
        words: what happened, and what to do.
        retry_after: seconds after which another try may do better.
    """

    def __init__(self, status: int, words: str, retry_after: int | None = None) -> None:
        super().__init__(words)
        self.status, self.retry_after = status, retry_after


def unknown_model(name: str, version: str, known: list[str]) -> RefusedError:
    """404, with the names that there are."""
    what = f"model {name!r}" + (f" version {version!r}" if version else "")
    return RefusedError(404, f"unknown {what}; served are {', '.join(known)}")
