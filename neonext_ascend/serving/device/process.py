"""A device's process as the server sees it: started, watched, given batches, and started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import mmap
import os
import socket
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from neonext_ascend.errors import OF_EXIT_CODE, NeoNextError, ToolchainError, UsageError
from neonext_ascend.serving.batching.dispatcher import MOST_BATCHES, Dispatcher
from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.batching.work import Batch
from neonext_ascend.serving.device.frames import frame, read, unpacked
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import Models
from neonext_ascend.serving.settings import Settings

OPENING_SECONDS = 600.0
FAILURES = 3  # batches in a row, after which a process is started anew
_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds between starts; they double while no process lives to answer
_TIMES_EXPECTED = 20


class Process:
    """One device.

    Attributes:
        ready: whether it takes batches.
        broken: whether its last start failed.
        inflight: batches that it has, in their order.
        gears: of each model, as measured there.
    """

    def __init__(
        self, device: int, models: Models, settings: Settings, dispatcher: Dispatcher, metrics: Metrics, log: Log
    ) -> None:
        self.ready = self.broken = False
        self.inflight: list[Batch] = []
        self.gears: Sequence[Gears] = ()
        self.opened: list[dict[str, Any]] = []
        self._device, self._models, self._settings = device, models, settings
        self._dispatcher, self._metrics, self._log = dispatcher, metrics, log
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._memory: mmap.mmap | None = None
        self._memory_number = -1
        self._tasks: list[asyncio.Task[None]] = []
        self._watch: asyncio.TimerHandle | None = None
        self._failures = self._sent = 0
        self._useful = False

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it for the first time, and watch it.

        Raises:
            NeoNextError: what kept it from being ready.
        """
        await self._open()
        self._tasks.append(asyncio.create_task(self._live()))

    async def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()

    def send(self, batch: Batch) -> None:
        """Copy a batch's rows to the shared memory, and tell the process."""
        assert self._memory is not None
        assert self._writer is not None
        spec = self._models.all[batch.model].input
        gears = self.gears[batch.model]
        shape = (batch.rows, *(int(n) for n in spec.shape[1:]))
        offset = next(o for o in self._offsets[batch.model] if o not in self._taken.values())
        array = np.frombuffer(self._memory, spec.dtype, math.prod(shape), offset).reshape(shape)
        at = 0
        for piece in batch.pieces:
            array[at : at + piece.count] = piece.work.rows[piece.first : piece.first + piece.count]
            at += piece.count
        self._sent += 1
        self._taken[id(batch)] = offset
        self.inflight.append(batch)
        told = {
            "batch": self._sent,
            "model": batch.model,
            "offset": offset,
            "rows": at,
            "fed": gears.fed(batch.gear, at),
        }
        self._writer.write(frame(told))
        if len(self.inflight) == 1:
            self._watch_first()

    def _watch_first(self) -> None:
        """Give the batch that is computed so long, then end the process."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self.inflight:
            first = self.inflight[0]
            seconds = max(self._settings.hang, _TIMES_EXPECTED * self.gears[first.model].seconds[first.gear])
            self._watch = asyncio.get_running_loop().call_later(seconds, self._kill, "gives no answer")

    def _kill(self, why: str) -> None:
        self._log("device ended", device=self._device, pid=self.pid, why=why)
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _open(self) -> None:
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self._reader, self._writer = await asyncio.open_connection(sock=ours)
                self._memory_number = os.memfd_create("neonext-rows")
                numbers = (theirs.fileno(), self._memory_number)
                self._process = await asyncio.create_subprocess_exec(
                    *self._settings.command,
                    *map(str, numbers),
                    pass_fds=numbers,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=2,  # what a library prints belongs to the log
                    start_new_session=True,
                )
            wanted = [{"path": os.fsencode(m.path).hex(), "sha256": m.sha256} for m in self._models.all]
            how = {"device": self._device, "runtime": self._settings.runtime, "threads": self._settings.threads}
            self._writer.write(frame({**how, "models": wanted}))
            try:
                async with asyncio.timeout(OPENING_SECONDS):
                    said, _ = await read(self._reader)
            except (EOFError, TimeoutError):
                raise ToolchainError(f"device {self._device}: its process ended before it was ready") from None
            if "error" in said:
                raise OF_EXIT_CODE.get(said["exit_code"], UsageError)(said["error"])
            self._take_opened(said["opened"])
        except BaseException as error:
            await self._end()
            if isinstance(error, OSError):
                raise ToolchainError(f"device {self._device}: its process cannot be started: {error}") from None
            raise
        self.ready, self.broken = True, False
        timed = [model["timed"] for model in self.opened]
        self._log("device ready", device=self._device, pid=self.pid, models=timed)

    def _take_opened(self, opened: list[dict[str, Any]]) -> None:
        self.opened = opened
        self.gears = [Gears({int(size): s for size, s in model["gears"]}, model["free"]) for model in opened]
        # Every model has its places in the memory, as many as there may be batches on the way; unused ones take none.
        self._offsets: list[list[int]] = []
        self._taken: dict[int, int] = {}
        at = 0
        for model, gears in zip(self._models.all, self.gears, strict=True):
            row = math.prod(int(n) for n in model.input.shape[1:]) * np.dtype(model.input.dtype).itemsize
            room = -(-gears.largest * row // mmap.PAGESIZE) * mmap.PAGESIZE
            self._offsets.append([at + place * room for place in range(MOST_BATCHES)])
            at += MOST_BATCHES * room
        os.ftruncate(self._memory_number, at)
        self._memory = mmap.mmap(self._memory_number, at)

    async def _live(self) -> None:
        """Read answers; when the process ends, give back what it had and start another."""
        pause = _PAUSE
        while True:
            self._useful = False
            try:
                while True:
                    self._take_answer(*await read(self._reader))
            except EOFError:
                pass
            except Exception:  # what it says is no answer; one that is not heard would keep its device for ever
                self._log("bug", device=self._device, traceback=traceback.format_exc())
            await self._end()
            self._log("device lost", device=self._device, inflight=len(self.inflight))
            self._metrics.restarts.labels(str(self._device)).inc()
            self._give_back()
            pause = _PAUSE if self._useful else min(2 * pause, _LONGEST_PAUSE)
            while not self.ready:
                await asyncio.sleep(pause)
                try:
                    await self._open()
                except NeoNextError as error:
                    self.broken = True
                    self._log("device not started", device=self._device, error=str(error))
                    self._give_back()
                    pause = min(2 * pause, _LONGEST_PAUSE)
            self._dispatcher.pump()

    def _give_back(self) -> None:
        lost, self.inflight = self.inflight, []
        self._dispatcher.died(lost)

    def _take_answer(self, said: dict[str, Any], payload: bytes) -> None:
        outputs = unpacked(said.get("outputs", ()), payload)
        batch = self.inflight.pop(0)
        self._taken.pop(id(batch))
        self._watch_first()
        if "error" in said:
            self._failures += 1
            self._log("batch failed", device=self._device, error=said["error"])
            self._dispatcher.failed(batch, said["error"])
            if self._failures >= FAILURES:
                self._failures = 0
                self._kill(f"{FAILURES} batches failed in a row")
            return
        self._useful, self._failures = True, 0
        self._dispatcher.answered(batch, outputs, said["seconds"])

    async def _end(self) -> None:
        """The process is over, and what belongs to it."""
        self.ready = False
        if self._watch is not None:
            self._watch.cancel()
        if self._writer is not None:
            self._writer.transport.abort()  # a process that lives ends by that
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
        # Forgotten when it is over, not before: whoever is cancelled here leaves the rest to the next.
        if self._process is not None:
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._kill("does not end")
                await self._process.wait()
            self._process = None
        if self._memory is not None:
            with contextlib.suppress(BufferError):
                self._memory.close()
            self._memory = None
        if self._memory_number >= 0:
            os.close(self._memory_number)
            self._memory_number = -1
