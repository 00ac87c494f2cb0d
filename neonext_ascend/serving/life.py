"""What a server is told while it serves: to reload by SIGHUP, to drain and end by SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from neonext_ascend.errors import NeoNextError
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.models import read_models

LINGER = 0.3  # seconds in which late requests are still told that the server is ending
LEAST = 1.0  # seconds in which clients read what they were told at the end of the drain
_LOOK = 0.01


class Wishes:
    """What signals ask for, at any time of a server's life; once it has ended, nothing that could end it otherwise."""

    def __init__(self) -> None:
        self._life: Life | None = None
        self._hung_up, self._over = False, False

    def heed(self, life: Life) -> None:
        """From now on they are told to it, with the hangup that came while it started."""
        self._life = life
        if self._hung_up:
            life.reload()

    def over(self) -> None:
        """Nothing is left that could be asked of it."""
        self._over = True

    def hear(self, number: int, _: Any) -> None:
        """As Python calls a signal's handler."""
        if self._over:
            return
        if number == signal.SIGHUP:
            self._hung_up = True
            if self._life is not None:
                self._life.reload()
        elif self._life is not None:
            self._life.stop()
        else:
            raise KeyboardInterrupt


@contextlib.contextmanager
def hearing() -> Iterator[Wishes]:
    """Signals, where this is the thread that may have them.

    They are not the loop's, which takes its handlers off by way of the default: SIGHUP would kill the process then.
    """
    wishes = Wishes()
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    kept = [(s, signal.signal(s, wishes.hear)) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    try:
        yield wishes
    finally:
        for number, handler in kept:
            signal.signal(number, handler)


def settle() -> None:
    """Take what is here now out of garbage collection: to look through it all takes 17 ms, and requests wait."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Life:
    """What the server is told while it serves.

    Attributes:
        replaced: engines that a reload took out, as long as they are not closed.
    """

    def __init__(self, desk: Desk, words: Sequence[str], log: Log) -> None:
        self.replaced: list[Engine] = []
        self._desk, self._words, self._log = desk, words, log
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._reload_asked = False

    def stop(self) -> None:
        """Ask it to end; from any thread."""
        self._loop.call_soon_threadsafe(self._ending.set)

    def reload(self) -> None:
        """Ask it to reload; from any thread."""
        self._loop.call_soon_threadsafe(self._begin_reload)

    async def over(self, serving: asyncio.Task[None]) -> float:
        """Wait until it is told to end, and then until all under way is answered: in time, or given up.

        Returns:
            Seconds of the drain that are left for what no request is under way in.
        """
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({ending, serving}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        self._ending.set()
        self._desk.under_way.draining = True
        self._desk.engine.hurry()
        self._log("draining", active=self._desk.under_way.count)
        end = self._loop.time() + self._desk.settings.drain
        await asyncio.sleep(LINGER)
        while self._desk.under_way.count and self._loop.time() < end:
            await asyncio.sleep(_LOOK)
        self._desk.under_way.give_up()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.gather(self._reloading, return_exceptions=True)
        return max(LEAST, end - self._loop.time())

    def _begin_reload(self) -> None:
        if self._ending.is_set():
            return
        self._reload_asked = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload_while_asked())

    async def _reload_while_asked(self) -> None:
        """Once more where it is asked for meanwhile: the files may have changed since they were read."""
        while self._reload_asked:
            self._reload_asked = False
            await self._reload()

    async def _reload(self) -> None:
        """Open what the files hold now beside what is served, then change over; what is under way finishes."""
        desk, old = self._desk, self._desk.engine
        try:
            engine = Engine(read_models(self._words), desk.settings, desk.metrics, self._log)
            await engine.start()
        except NeoNextError as error:
            self._log("not reloaded", error=str(error))
            return
        desk.engine = engine
        self.replaced.append(old)
        self._log("reloaded", models=engine.told())
        await old.drain(desk.settings.timeout)
        await old.close()
        self.replaced.remove(old)
        del old
        settle()
