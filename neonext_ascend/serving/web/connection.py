"""One connection of HTTP: what its library leaves open, so that no client can hold memory or a connection for ever."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from neonext_ascend.serving.web.bodies import LINGER
from neonext_ascend.serving.web.joined import JoiningProtocol

MOST_HEAD = 2**16  # bytes of a request's line and headers
_FRAMES = 8  # bytes, of a chunk, for each byte of a body
_TOO_LARGE = f"the request's head is too large; expected at most {MOST_HEAD} bytes"
_DRAINED = 0.9  # of the time to drain; at its end the library gives up on what is left with tracebacks


class Connection(JoiningProtocol):
    """The library's, with a bounded head; an offer to upgrade (``h2c``, ``websocket``) is not taken up.

    What comes while a request is answered is held as it is, and from a head's bound on nothing more is read.

    Args:
        seconds: in which a head must have come, the rest of a body that is answered, and an answer been read.
        given: by the library.
    """

    def __init__(self, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds = seconds
        self._heading = self._open = self._new = self._over = False
        self._head = self._body = self._came = 0
        self._held = b""
        self._running: Any = None  # the library's cycle that is answered; ``self.cycle`` is the newest
        self._refusal: bytes | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """As asyncio has it."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1, low=0)  # ``pause_writing`` tells of what is not read
        self._wait(self._seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._unset_keepalive_if_required()
        self.resume_writing()
        self.pipeline.clear()
        self._held = b""
        if self._running:
            self.cycle = self._running  # whom the library tells
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """As asyncio has it."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """As asyncio has it."""
        if self._unread:
            self._unread.cancel()
        super().resume_writing()

    def shutdown(self) -> None:
        """As the library has it; who does not read by the end of the drain is let go."""
        super().shutdown()
        if (drain := self.config.timeout_graceful_shutdown) is not None:
            self.loop.call_later(_DRAINED * drain, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        if self._over:
            return
        if self._waits():
            self._held += data
            if len(self._held) > MOST_HEAD:  # until then it is heard if the client goes
                self.transport.pause_reading()  # past the library's flow, which reads on when an answer is done
            return
        self._new, self._came = False, 0
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._fed(rest)
        except httptools.HttpParserError:
            too_large = self._head > MOST_HEAD
            self._refuse(*((431, _TOO_LARGE) if too_large else (400, "this is no request of HTTP/1.1")))
            return
        if self._open:
            self._unfinished(len(data))

    def on_message_begin(self) -> None:
        """As httptools has it."""
        self._heading = self._open = self._new = True
        self._head = self._body = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """As httptools has it; white space around a value is no part of it (RFC 9110, 5.5)."""
        super().on_header(name, value.strip(b" \t"))

    def on_body(self, body: bytes) -> None:
        """As httptools has it."""
        self._came += len(body)
        held: bytes | bytearray = self.cycle.body
        if not held:
            self.cycle.body = b""  # type: ignore[assignment] # added to the library's bytearray it is copied twice
        elif isinstance(held, bytes):
            self.cycle.body = bytearray(held)  # else all is copied for each of many pieces
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """As httptools has it."""
        self._unset_keepalive_if_required()
        self._head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._head > MOST_HEAD:
            raise ValueError(_TOO_LARGE)
        self._head = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        self._heading = False

    def on_message_complete(self) -> None:
        """As httptools has it."""
        self._open = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """As the library has it."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._refusal is not None and not self._busy():
            self._tell(self._refusal)
        elif self._held and not self._waits():
            held, self._held = self._held, b""
            self.transport.resume_reading()
            self.data_received(held)
        elif self._open and not self._busy():  # it is answered, and its body still comes
            self._wait(self._seconds)

    def timeout_keep_alive_handler(self) -> None:
        """As the library has it, and for all else that is waited for."""
        if self._heading and not self._over:
            self._refuse(408, f"the request's head did not come within {self._seconds:g} s")
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wait(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _waits(self) -> bool:
        """Whether what comes is another request's than the one that is answered."""
        return bool(self.pipeline) or (not self._open and self._busy())

    def _unfinished(self, count: int) -> None:
        """More is to come. What is no body is bounded: a head, or frames of chunks and what follows the last."""
        if self._new:  # what stood before it is another's
            if self._heading:
                self._wait(self._seconds)
            return
        self._body += self._came
        self._head += count - self._came
        if self._head > MOST_HEAD + _FRAMES * self._body:
            self._refuse(431, _TOO_LARGE)

    def _fed(self, data: bytes | memoryview) -> bytes | memoryview:
        """What stands behind an offer, if there is one; the library takes it for another protocol's."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._without_offer():
                return memoryview(data)[offer.args[0] :]
        return b""

    def _without_offer(self) -> bool:
        """The same request anew."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(405, "CONNECT is not for this server; see /v2", b"allow: GET, HEAD, POST\r\n")
            return False
        first = b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())
        kept = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)  # the old one takes no more if the connection is to be closed
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the library's
        self.parser.feed_data(b"\r\n".join([first, *kept, b"", b""]))
        return True

    def _refuse(self, status: int, words: str, more: bytes = b"") -> None:
        """Answer once all before it are answered, and let the connection go; what else its client sends is dropped."""
        self.logger.warning(words)
        self._unset_keepalive_if_required()
        self._over, self._held = True, b""
        body = json.dumps({"error": words}).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._refusal = STATUS_LINE[status] + more + head + body
        if self._open and not self._heading:  # the newest is to blame itself
            if self.cycle.response_started:  # and has its answer
                self._refusal = b""
            if self.pipeline:
                self.pipeline.popleft()
            elif self._busy():
                self._running.disconnected = True
                self._running.message_event.set()
                self._running = None
        if not self._busy():
            self._tell(self._refusal)

    def _tell(self, refusal: bytes) -> None:
        self.transport.write(refusal)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._wait(LINGER)
        else:
            self.transport.close()
