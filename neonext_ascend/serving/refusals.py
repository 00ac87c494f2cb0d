"""Requests that get no result: an HTTP status and its words; gRPC's codes are told from it."""

from __future__ import annotations

from neonext_ascend.errors import NeoNextError, ToolchainError, UsageError

UNNAMED = "what was sent"  # names the one picture of a request, whose file only its client knows
_MOST_TOLD = 120  # signs


def cut(given: object) -> str:
    """So much of what a client sent as a line bears."""
    text = str(given)
    return text if len(text) <= _MOST_TOLD else f"{text[:_MOST_TOLD]}..."


class RefusedError(NeoNextError):
    """An honest no to one request.

    Args:
        status: of HTTP; 400 wrong request, 401 no key, 404 unknown, 413 too large, 415 compressed, 429 queue full,
            500 the device gave no good answer, 503 not now, 504 too late.
        words: what happened, and what to do.
        retry_after: seconds after which another try may do better.

    Attributes:
        counted: whether a model's metrics have it already.
    """

    def __init__(self, status: int, words: str, retry_after: int | None = None) -> None:
        super().__init__(words)
        self.status, self.retry_after, self.counted = status, retry_after, False
        self.exit_code = (ToolchainError if self.again or status == 500 else UsageError).exit_code

    @property
    def again(self) -> bool:
        """Whether the same request may get its result later; after ``retry_after`` seconds where that is known."""
        return self.status in (408, 429, 502, 503, 504)
