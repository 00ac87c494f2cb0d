"""An answer leaves in one write, whatever its parts."""

from __future__ import annotations

import asyncio
from typing import Any

from neonext_ascend.serving.web.joined import JoinedTransport


class Transport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


def test_what_is_written_in_one_turn_leaves_together_and_before_the_end() -> None:
    async def play() -> None:
        real: Any = Transport()
        joined = JoinedTransport(real, asyncio.get_running_loop())
        joined.write(b"head")
        joined.write(b"body")
        assert real.done == []
        await asyncio.sleep(0)
        assert real.done == [b"headbody"]
        joined.write(b"next")
        joined.write(large := bytes(2**16))
        assert real.done[1:] == [b"next", large]
        del real.done[1:]
        joined.write(b"last")
        joined.close()
        await asyncio.sleep(0)
        assert real.done == [b"headbody", b"last", "closed"]
        joined.write(b"nobody reads this")
        await asyncio.sleep(0)
        assert real.done[3:] == []
        assert joined.is_closing()

    asyncio.run(play())
