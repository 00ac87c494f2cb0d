"""A load sent: sittings of several servers in turns, each with connections of its own."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from neonext_ascend.client.subject import Subject
from neonext_ascend.client.wire import Wire
from neonext_ascend.client.words import words_of
from neonext_ascend.timing.latency import without_collection
from neonext_ascend.timing.load import NOT_SENT, Load, LoadSitting, warm_up_seconds

_GOOD = "200"


def measure_servers(
    subjects: Sequence[Subject],
    load: Load,
    seconds: float,
    sittings: int,
    after_sitting: Callable[[], Any] = lambda: None,
    into: list[list[LoadSitting]] | None = None,
) -> list[list[LoadSitting]]:
    """What each server did in each sitting; the last is the first one in which a server gave no good answer.

    Args:
        subjects: the servers, and what they are asked.
        load: how.
        seconds: that count, all servers and sittings together.
        sittings: in each of which every server has its turn, in an order drawn by lot.
        after_sitting: called after each.
        into: takes them as they come, for whoever ends it early.
    """
    found = [] if into is None else into
    found += [[] for _ in subjects]
    lots = random.Random()
    for number in range(sittings):
        for i in lots.sample(range(len(subjects)), len(subjects)):
            with without_collection():
                turn = _Turn(subjects[i], load, seconds / sittings / len(subjects), number)
                found[i].append(asyncio.run(turn.play()))
            if not found[i][-1].latencies:
                return found
        after_sitting()
    return found


class _Turn:
    """One server's turn in one sitting."""

    def __init__(self, subject: Subject, load: Load, seconds: float, number: int) -> None:
        self._requests, self._load, self._number = subject.requests, load, number
        self._warm_up = warm_up_seconds(seconds)
        self._wires = [Wire(subject.address, load.timeout) for _ in range(load.clients)]
        self._found = LoadSitting(seconds)
        self._sent, self._counted, self._over = 0, 0, threading.Event()
        self._start = self._end = math.inf

    async def play(self) -> LoadSitting:
        """Connect, warm up, and count; what was sent in time is waited for."""
        try:
            # One request each, so that none waits for a connection, or for what a server does at its first.
            await asyncio.gather(*(wire.ask(self._requests[0]) for wire in self._wires))
            self._begin = time.perf_counter()
            await (self._closed() if self._load.rate is None else self._open())
            await self._watching
        finally:
            self._over.set()
            for wire in self._wires:
                wire.close()
            await asyncio.sleep(0)  # the transports are gone after this
        return self._found

    def _count_from(self, moment: float) -> None:
        self._start, self._end = moment, moment + self._found.span
        self._watching = asyncio.create_task(self._watch())

    async def _closed(self) -> None:
        async def client(wire: Wire) -> None:
            while (now := time.perf_counter()) < self._end:
                # From a request on, so that a machine that stood still meanwhile leaves no sitting empty.
                if self._start == math.inf and now >= self._begin + self._warm_up:
                    self._count_from(now)
                await self._one(wire, now)

        await asyncio.gather(*map(client, self._wires))

    async def _open(self) -> None:
        self._count_from(self._begin + self._warm_up)
        meant: asyncio.Queue[float | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        moments = self._load.moments(self._found.span, self._number)
        latest = self._end + self._load.latest(self._found.span)

        def pace() -> None:
            """In a thread, which sleeps to a tenth of a millisecond; asyncio's epoll counts whole ones."""
            with suppress(RuntimeError):  # the loop has been closed by Ctrl-C
                for moment in moments:
                    if self._over.wait(max(0.0, self._start + moment - time.perf_counter())):
                        return
                    loop.call_soon_threadsafe(meant.put_nowait, self._start + moment)
                for _ in self._wires:
                    loop.call_soon_threadsafe(meant.put_nowait, None)

        async def client(wire: Wire) -> None:
            while (moment := await meant.get()) is not None:
                counts, now = moment >= self._start, time.perf_counter()
                # Else nothing that counts would be sent where all is late from the first moment on; and one that counts
                # is, so that a machine that stood still meanwhile leaves no sitting empty.
                if now < (latest if counts else self._start) or (counts and not self._counted):
                    self._counted += counts
                    await self._one(wire, moment)
                elif counts:
                    self._found.errors[NOT_SENT] += 1

        await asyncio.gather(asyncio.to_thread(pace), *map(client, self._wires))

    async def _one(self, wire: Wire, meant: float) -> None:
        self._sent += 1
        counts, sent = self._start <= meant < self._end, time.perf_counter()
        kind, body, _ = await wire.ask(self._requests[self._sent % len(self._requests)])
        done, found = time.perf_counter(), self._found
        if kind == _GOOD and self._start <= done < self._end:
            found.answered += 1
        if counts:
            found.late.append(sent - meant)
            if kind == _GOOD:
                found.latencies.append(done - meant)
            else:
                found.errors[kind] += 1
                if kind.isdigit() and kind not in found.words:
                    found.words[kind] = words_of(body)

    async def _watch(self) -> None:
        """The processor that this side takes in the part that counts."""
        await asyncio.sleep(self._start - time.perf_counter())
        start, took = time.perf_counter(), time.process_time()
        await asyncio.sleep(self._end - time.perf_counter())
        self._found.client = (time.process_time() - took) / (time.perf_counter() - start)
