"""Who may come in: an API key from a file; whether a server is alive and ready may be asked by everyone."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.serving.refusals import RefusedError

# The page itself tells no more than the models' names; it asks for the key.
OPEN_PATHS = ("/", "/v2/health/live", "/v2/health/ready")
_SHORTEST, _LONGEST = 8, 4096


def read_key(path: Path) -> str:
    """The key: the file's one line.

    Raises:
        FileAccessError: the file cannot be read.
        UsageError: it holds no key, or one that is too short.
    """
    try:
        with path.open("rb") as file:
            key = file.read(_LONGEST + 1).decode().strip()  # /dev/zero has no end
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the API key: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not _SHORTEST <= len(key) <= _LONGEST or not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{path}: expected one line of at least {_SHORTEST} letters, digits and signs as the API key")
    return key


def admit(key: str | None, path: str, headers: Mapping[str, str]) -> None:
    """Let a request of HTTP in, before its body is read.

    Raises:
        RefusedError: 401, it does not carry the key.
    """
    if path not in OPEN_PATHS and not admits(key, headers):
        raise RefusedError(401, "expected the API key, as Authorization: Bearer KEY or X-API-Key: KEY")


def admits(key: str | None, headers: Mapping[str, str]) -> bool:
    """Whether these headers (names in lower case) carry it: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``."""
    if key is None:
        return True
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return hmac.compare_digest(given.encode(), key.encode())
