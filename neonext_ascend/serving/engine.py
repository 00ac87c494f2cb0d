"""Models on their devices: rows in, outputs out. A reload makes another engine, and the old one finishes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.names import readable
from neonext_ascend.images.decoding import DECODERS, Prepared, read_prepared
from neonext_ascend.images.formats import openable
from neonext_ascend.machine.cann import device_memory, npu_smi
from neonext_ascend.runtimes.registry import runtime_for
from neonext_ascend.serving.batching.dispatcher import Dispatcher
from neonext_ascend.serving.batching.work import Arrays, Work
from neonext_ascend.serving.device.process import Process
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import Models, Served
from neonext_ascend.serving.refusals import UNNAMED, RefusedError
from neonext_ascend.serving.settings import Settings

_MEMORY_SECONDS = 10.0  # npu-smi takes one itself
_FAR = 10.0  # times the values that were checked: pixels that are not normalised are further beyond
_LOOK = 0.01  # seconds between two looks at whether all is answered


class Engine:
    """What computes."""

    def __init__(self, models: Models, settings: Settings, metrics: Metrics, log: Log) -> None:
        self.models, self._settings, self._metrics = models, settings, metrics
        self._dispatcher = Dispatcher(models, settings.queue, settings.max_delay, settings.ahead, metrics)
        self.processes = [Process(d, models, settings, self._dispatcher, metrics, log) for d in settings.devices]
        self._dispatcher.lanes.extend(self.processes)
        for device in settings.devices:
            metrics.restarts.labels(str(device))  # 0 is told from the start
        self._decoders = ThreadPoolExecutor(DECODERS, "decoder")
        self._decoding = 0
        # On the CPU a device's number is only a name.
        on_npu = any(runtime_for(model.path, settings.runtime) != "ort" for model in models.all)
        self._smi, self._look_again = npu_smi() if on_npu else None, 0.0

    @property
    def ready(self) -> bool:
        """Whether a device answers."""
        return any(process.ready for process in self.processes)

    def told(self) -> list[dict[str, str]]:
        """Each model as it is served, for the log: the file that was opened, and what a user should doubt."""
        opened = zip(self.models.all, self.processes[0].opened, strict=True)
        return [
            {"name": model.name, "version": model.version, "path": readable(str(model.path)), **found["told"]}
            for model, found in opened
        ]

    async def start(self) -> None:
        """Start every device.

        Raises:
            NeoNextError: one is not ready; all have ended.
        """
        asyncio.get_running_loop().run_in_executor(
            self._decoders, openable
        )  # Pillow's plugins, before the first picture
        try:
            results = await asyncio.gather(*(process.start() for process in self.processes), return_exceptions=True)
            for error in results:
                if isinstance(error, BaseException):
                    raise error
        except BaseException:
            await self.close()
            raise

    async def look(self) -> None:
        """Tell the metrics what is so now: devices, rows that wait, and NPUs' memory where ``npu-smi`` tells it."""
        metrics, loop = self._metrics, asyncio.get_running_loop()
        # Another engine's, from before a reload, are gone.
        metrics.ready.clear()
        metrics.waiting.clear()
        for device, process in zip(self._settings.devices, self.processes, strict=True):
            metrics.ready.labels(str(device)).set(process.ready)
        for model in self.models.all:
            metrics.waiting.labels(model.name, model.version).set(self._dispatcher.waiting_of(model.number))
        if self._smi is None or loop.time() < self._look_again:
            return
        self._look_again = loop.time() + _MEMORY_SECONDS
        memory = await asyncio.to_thread(device_memory, self._smi)
        for device in self._settings.devices:
            if device in memory:
                metrics.device_memory(device, *memory[device])

    def hurry(self) -> None:
        """No other request will come: those that wait for company leave without."""
        self._dispatcher.hurry()

    async def drain(self, seconds: float) -> None:
        """Wait until all is answered, so long at most."""
        self.hurry()
        end = asyncio.get_running_loop().time() + seconds
        while not (self._dispatcher.idle and not self._decoding) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        """End every device; what still waits is answered 503. A close that was cancelled is ended by another."""
        self._dispatcher.stop("given up: the server is ending")
        await asyncio.gather(*(process.close() for process in self.processes))
        self._dispatcher.stop("given up: the server is ending")
        self._decoders.shutdown(wait=False, cancel_futures=True)

    async def compute(self, model: Served, rows: NDArray[np.generic], until: float) -> Work:
        """Have rows ``(n, ...)`` computed; cancelled, as they will be by ``until`` on the loop's clock, they are not.

        Raises:
            RefusedError: no device could, or the queue is full.
        """
        loop = asyncio.get_running_loop()
        work = Work(model.number, rows, loop.time(), loop.create_future(), until)
        self._dispatcher.submit(work)
        outputs = await work.answer
        if not all(np.isfinite(values).all() for values in outputs):
            raise self._not_finite(model, rows, outputs)
        return work

    def _not_finite(self, model: Served, rows: NDArray[np.generic], outputs: Arrays) -> RefusedError:
        """The request's fault where its values are far beyond those that were answered well when it was opened."""
        wrong = ~np.all([np.isfinite(values).reshape(len(rows), -1).all(axis=1) for values in outputs], axis=0)
        largest, usual = float(np.abs(rows[wrong]).max()), float(self.processes[0].opened[model.number]["largest"])
        words = (
            f"{model.name}: gives NaN or infinity to values up to {largest:.3g}; it was checked with up to {usual:.3g}"
        )
        if largest > _FAR * usual:
            return RefusedError(400, f"{words}: send values as it was trained with, such as normalised pixels")
        return RefusedError(500, f"{words}: damaged weights, or too large for fp16, or a device that computes wrong")

    async def prepare(self, model: Served, pictures: list[bytes]) -> list[Prepared[NDArray[np.float32 | np.uint8]]]:
        """Decode and prepare pictures, a bounded number at once.

        Raises:
            UsageError, FileAccessError: one is no picture, too large or cut off.
            RefusedError: 413, more than may ever wait; 429, too many wait.
        """
        if len(pictures) > self._settings.queue:
            raise RefusedError(413, f"{len(pictures)} pictures; expected at most {self._settings.queue}: send fewer")
        if self._decoding + len(pictures) > self._settings.queue:
            raise RefusedError(429, f"{self._decoding} pictures wait of {self._settings.queue} that may; try again", 1)
        loop, recipe = asyncio.get_running_loop(), model.recipe
        many = len(pictures) > 1
        self._decoding += len(pictures)
        decoding = [
            loop.run_in_executor(
                self._decoders,
                read_prepared,
                Path(f"picture {n}" if many else UNNAMED),
                recipe.preprocessing,
                data,
            )
            for n, data in enumerate(pictures, 1)
        ]
        try:
            return list(await asyncio.gather(*decoding))
        finally:
            for each in decoding:
                each.cancel()  # where one is none, the others are not decoded for nobody
            self._decoding -= len(pictures)
