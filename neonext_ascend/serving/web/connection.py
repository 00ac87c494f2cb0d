"""One connection of HTTP: what its library leaves open, an endless head, and a body behind an offer to upgrade."""

from __future__ import annotations

import json
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from neonext_ascend.serving.web.joined import JoiningProtocol

MOST_HEAD = 2**16  # bytes of a request's line and headers
_FRAMES = 8  # bytes, of a chunk, for each byte of a body
_TOO_LARGE = f"the request's head is too large; expected at most {MOST_HEAD} bytes"
_LINGER = 5.0  # seconds in which a client that still sends comes to read a refusal


class Connection(JoiningProtocol):
    """The library's, with a bounded head; an offer to upgrade (``h2c``, ``websocket``) is not taken up.

    Args:
        seconds: in which a head must have come.
        given: by the library.
    """

    def __init__(self, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds, self._timer = seconds, self.loop.call_later(seconds, self._late)
        self._heading = self._open = self._new = self._over = False
        self._head = self._body = self._came = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        if self._over:
            return
        self._unset_keepalive_if_required()
        self._new, self._came = False, 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._without_offer(data[offer.args[0] :])
        except httptools.HttpParserError:
            too_large = self._head > MOST_HEAD
            self._refuse(*((431, _TOO_LARGE) if too_large else (400, "this is no request of HTTP/1.1")))
        else:
            if self._open:
                self._unfinished(len(data))

    def on_message_begin(self) -> None:
        """As httptools has it."""
        self._heading = self._open = self._new = True
        self._head = self._body = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """As httptools has it."""
        self._came += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """As httptools has it."""
        self._heading = False
        self._timer.cancel()
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > MOST_HEAD:
            raise ValueError(_TOO_LARGE)
        self._head = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """As httptools has it."""
        self._open = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _unfinished(self, count: int) -> None:
        """More is to come. What is no body is bounded: a head, or frames of chunks and what follows the last."""
        if self._new:  # what stood before it is another's
            if self._heading:
                self._timer.cancel()
                self._timer = self.loop.call_later(self._seconds, self._late)
            return
        self._body += self._came
        self._head += count - self._came
        if self._head > MOST_HEAD + _FRAMES * self._body:
            self._refuse(431, _TOO_LARGE)

    def _without_offer(self, rest: bytes) -> None:
        """The same request anew; the library takes what follows an offer for another protocol's."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(405, "CONNECT is not for this server; see /v2")
            return
        first = b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())
        kept = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([first, *kept, b"", rest]))

    def _late(self) -> None:
        if self._heading:
            self._refuse(408, f"the request's head did not come within {self._seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, words: str) -> None:
        """Answer, and let the connection go; until its client has, what it sends is dropped."""
        self.logger.warning(words)
        body = json.dumps({"error": words}).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self._over = True
        under_way: Any = self.cycle  # None before the first
        if under_way and not under_way.response_complete:  # nothing may be written behind this
            under_way.disconnected = True
            under_way.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._timer.cancel()
            self._timer = self.loop.call_later(_LINGER, self.transport.close)
        else:
            self.transport.close()
