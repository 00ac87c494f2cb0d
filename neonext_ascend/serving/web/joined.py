"""An answer's head and body in one write: uvicorn writes two, each a system call that wakes the client."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGE = 2**16  # bytes, from which copying them costs more than a system call


class JoinedTransport:
    """A transport that writes at the end of the loop's turn what was given to it meanwhile.

    Args:
        transport: the real one; it answers everything else.
        loop: of both.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []
        self._ended = False

    def write(self, data: bytes) -> None:
        """As asyncio has it; what comes after the end is dropped."""
        if self._ended:
            return
        if len(data) >= _LARGE:
            self._flush()
            self._transport.write(data)
            return
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """As asyncio has it; what was written before is sent."""
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        """As asyncio has it; what was written before is sent."""
        self._flush()
        self._ended = True
        self._transport.write_eof()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, on such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """As asyncio has it."""
        super().connection_made(JoinedTransport(transport, self.loop))  # type: ignore[arg-type] # it answers for one
