"""Bodies of HTTP requests: bounded, waited for so long, and given up when the client goes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neonext_ascend.serving.refusals import UNNAMED, RefusedError
from neonext_ascend.serving.under_way import UnderWay

_T = TypeVar("_T")
LINGER = 5.0  # seconds in which a client that still sends comes to read a refusal
# RFC 2046, 5.1.1: a blank inside, or none where it is not quoted.
_BOUNDARY = re.compile(
    r"""(?:^|;)\s*boundary=(?:"([0-9A-Za-z'()+_,./:=? -]{1,70})"|([0-9A-Za-z'()+_,./:=?-]{1,70})\s*(?:;|$))""",
    re.IGNORECASE,
)
# RFC 7578, 4.2: a parameter of that name, not a field of that name, nor a word in quotes.
_FILE = re.compile(
    rb'\r\ncontent-disposition:(?:[^"\r\n]|"(?:[^"\\\r\n]|\\[^\r\n])*")*?;\s*filename\*?=', re.IGNORECASE
)
_MOST_PARTS, _MOST_HEAD = 100, 2**14  # of a form; bytes that stand before a part's own


class Gone(Exception):  # noqa: N818 -- nothing is wrong
    """The client has gone; nobody reads an answer."""


class UnreadError(RefusedError):
    """The request is refused before all of its body was read, or may have been."""


class LingeringResponse(Response):
    """Sent at once; the rest of the body is read and dropped for a while, so that its sender comes to read this."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_body(request: Request, most: int, seconds: float, under_way: UnderWay) -> bytes:
    """All of it.

    Raises:
        RefusedError: 413 it is too large; 415 it is compressed; 408 it did not come in time; 503 the server is ending.
        Gone: its client has gone.
    """
    encoding = request.headers.get("content-encoding") or "identity"
    if encoding.lower() != "identity":
        raise UnreadError(415, f"Content-Encoding {encoding[:40]}: expected a body that is not compressed")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    parts, count, more = [], 0, True
    until, late = asyncio.get_running_loop().time() + seconds, (408, f"the body did not come within {seconds:g} s")
    async with under_way.bound(until, late, UnreadError):
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            count, more = count + len(parts[-1]), message.get("more_body", False)
            if count > most:
                raise _too_large(most)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def unless_gone(request: Request, answer: Coroutine[Any, Any, _T]) -> _T:
    """The answer, which is given up when the client goes; the body has been read.

    Raises:
        Gone: it has.
    """
    working = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        assert working is not None
        working.cancel()

    leaving = asyncio.create_task(watch())
    try:
        return await answer
    except asyncio.CancelledError:
        if gone and working is not None and working.uncancel() == 0:
            raise Gone from None
        raise
    finally:
        leaving.cancel()


def picture_of(body: bytes, content_type: str) -> bytes:
    """The file in a form (``curl -F``; RFC 7578), or the body itself.

    Raises:
        RefusedError: 400, the form holds no file, or the body is JSON.
    """
    if not content_type.lower().startswith("multipart/form-data"):
        if body[:64].lstrip().startswith((b"{", b"[")):
            words = "is JSON; expected a picture's bytes, or a form with a file, as curl -F file=@PICTURE sends it"
            raise RefusedError(400, f"{UNNAMED}: {words}")
        return body
    found = _BOUNDARY.search(content_type)
    line = b"--" + ((found[1] or found[2]).encode() if found else b"")
    start = body.find(line) if found else -1
    for _ in range(_MOST_PARTS):
        head = body.find(b"\r\n\r\n", start)
        end = body.find(b"\r\n" + line, head + 2)
        if -1 in (start, head, end):
            break
        if _FILE.search(body[start : min(head, start + _MOST_HEAD)]):
            return body[head + 4 : end]
        start = end + 2
    raise RefusedError(400, "the form holds no file; send one, as curl -F file=@PICTURE does")


def _too_large(most: int) -> UnreadError:
    return UnreadError(413, f"the body is too large; expected at most {most / 2**20:g} MiB")
