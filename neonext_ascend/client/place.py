"""Where a server is: its address taken apart, and whom to trust there."""

from __future__ import annotations

import functools
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from neonext_ascend.errors import FileAccessError, UsageError

# Behind the host a prefix, in which no path of the protocol begins, and perhaps a model.
_URL = re.compile(
    r"https?://[^/?#]+((?:(?!/v2/(?:models|health|repository)(?:/|$)).)*?)"
    r"(?:/v2(?:/models/([^/]+)(?:/versions/([^/]+))?(?:/infer)?)?)?/?",
    re.IGNORECASE,
)
# User and password, up to the ``@``; also where a slash in a password, which should be ``%2F``, ends the host's place,
# and what stands before it looks like a port. A model's name may have an ``@``.
_PASSWORD = re.compile(r"(?<=://)(?:[^/?#]*@|[^/?#:@\[]*:(?:(?!/v2/models/).)*@|[^/?#:@\[]*:(?!\d*(?:[/?#]|$)).*@)")


@dataclass(frozen=True)
class Place:
    """A server, and perhaps a model there.

    Attributes:
        url: as it was given, without user and password.
        base: before the protocol's own paths.
        host, port, https: to connect to.
        authority: host and port as they stand in the address.
        prefix: of all paths; empty, or begins with a slash.
        headers: that come of user and password.
        model, version: that the address names, or empty.
    """

    url: str
    base: str
    host: str
    port: int
    https: bool
    authority: str
    prefix: str
    headers: dict[str, str]
    model: str
    version: str


def without_password(url: str) -> str:
    """An address as it may be shown, without user and password."""
    return _PASSWORD.sub("", url, count=1)


def place_of(url: str) -> Place:
    """Take an address apart.

    Raises:
        UsageError: it is none of a server.
    """
    shown = without_password(url)
    refusal = UsageError(f"{shown}: expected http://HOST:PORT or http://HOST:PORT/v2/models/NAME")
    try:
        parts, found = urlsplit(url), _URL.fullmatch(url)
        host, port = parts.hostname, parts.port
        authority = parts.netloc.rpartition("@")[2].encode("ascii").decode()
        (host or "").encode("idna")
    except ValueError:  # no number of a port, a bracket alone, a host that is no ASCII, or has a part that is too long
        raise refusal from None
    odd = port == 0 or parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f-\U0010ffff]", url)
    if not host or found is None or odd:
        raise refusal
    if parts.username is None and shown != url:  # that host would be a user
        raise UsageError(f"{shown}: write %2F for a slash in a password, and %40 for an @ in a path")
    https, prefix = parts.scheme == "https", found[1].rstrip("/")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    base = f"{parts.scheme}://{authority}{prefix}"
    names = [unquote(name or "") for name in found.groups()[1:]]
    return Place(shown, base, host, port or (443 if https else 80), https, authority, prefix, headers, *names)


def model_path(model: str, version: str = "") -> str:
    """Of the protocol."""
    return f"/v2/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


@functools.cache
def _system() -> ssl.SSLContext:
    """Whom the system trusts; reading them takes 20 ms."""
    return ssl.create_default_context()


def trusting(certificate: str | Path | None) -> ssl.SSLContext:
    """Whom the system trusts, and this certificate (PEM).

    Raises:
        UsageError: it is none.
        FileAccessError: it cannot be read.
    """
    try:
        return _system() if certificate is None else ssl.create_default_context(cafile=certificate)
    except ssl.SSLError as error:
        why = (error.reason or "not to be read").replace("_", " ").lower()
        raise UsageError(f"{certificate}: no certificate: {why}; expected a PEM file") from None
    except OSError as error:
        raise FileAccessError(f"{certificate}: cannot be used as a certificate: {error.strerror or error}") from None
