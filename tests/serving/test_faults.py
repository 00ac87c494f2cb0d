"""Each request gets exactly one answer, the right one or an honest error, whatever happens to the devices."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.images.decoding import DECODERS, Prepared
from neonext_ascend.serving import engine as engines
from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.device.frames import frame
from neonext_ascend.serving.device.opening import SIZES
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.protocol.tensors import BYTES, InferRequest, Tensor
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from tests.serving.conftest import Nano
from tests.standins.device import marked

STAND_IN = (sys.executable, "-m", "tests.standins.device")
# Another batch size sums in another order: a few units in the last place of logits of order 1 to 10.
ATOL = 1e-4


class Events:
    """The log, kept."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.last: dict[str, dict[str, Any]] = {}

    def __call__(self, event: str, **details: Any) -> None:
        self.last[event] = details
        self.seen[event] += 1


class Stand:
    """A desk with devices behind it, and what was answered."""

    def __init__(self, desk: Desk, nano: Nano, events: Events) -> None:
        self.desk, self.nano, self.events = desk, nano, events
        self.answers: Counter[str] = Counter()

    async def ask(self, number: int, fault: str | None = None, seconds: float | None = None) -> str:
        """One row; ``right``, ``wrong`` or the status."""
        row: NDArray[np.float32] = self.nano.rows[number % 24][None]
        request = InferRequest("", (Tensor.of("image", marked(row, fault) if fault else row),), {}, {})
        try:
            _, (logits,) = await self.desk.infer("nano", "", request, seconds)
        except RefusedError as refused:
            answer = str(refused.status)
        else:
            near = np.allclose(np.asarray(logits.data)[0], self.nano.want[number % 24], rtol=0, atol=ATOL)
            answer = "right" if near else "wrong"
        self.answers[answer] += 1
        return answer

    async def all_ready(self) -> None:
        """Wait for every device."""
        async with asyncio.timeout(60):
            while not all(process.ready for process in self.desk.engine.processes):
                await asyncio.sleep(0.02)

    async def lost(self, count: int) -> None:
        """Wait until so many processes were seen to end."""
        async with asyncio.timeout(60):
            while self.events.seen["device lost"] < count:
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[asyncio.Task[str]]:
        """A request that the only device has; it stands still meanwhile."""
        (process,) = self.desk.engine.processes
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            asked = asyncio.create_task(self.ask(0))
            async with asyncio.timeout(60):
                while not process.inflight:
                    await asyncio.sleep(0.001)
            yield asked
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def batches(self) -> float:
        """Rows that were sent to a device."""
        found = self.desk.metrics.batch.labels("nano", "1").collect()
        return next(s.value for metric in found for s in metric.samples if s.name.endswith("_sum"))


@asynccontextmanager
async def stand(nano: Nano, **options: Any) -> AsyncIterator[Stand]:
    """Devices with the stand-in's runner."""
    settings = Settings(**{"threads": 1, "command": STAND_IN, "hang": 30.0, "max_delay": 0.002, **options})
    events, metrics = Events(), Metrics()
    engine = Engine(read_models([f"nano={nano.free}"]), settings, metrics, events)
    await engine.start()
    try:
        yield Stand(Desk(engine, settings, metrics), nano, events)
    finally:
        await engine.close()


def run(nano: Nano, scene: Callable[[Stand], Awaitable[None]], **options: Any) -> None:
    async def play() -> None:
        async with stand(nano, **options) as stood:
            await scene(stood)

    asyncio.run(play())


def test_killed_devices_lose_no_request(nano: Nano) -> None:
    lots = random.Random(5)

    async def scene(stood: Stand) -> None:
        async def client(number: int) -> None:
            for turn in range(20):
                await stood.ask(number + turn)

        async def killer() -> None:
            for _ in range(4):
                await asyncio.sleep(lots.uniform(0.0, 0.2))
                process = lots.choice(stood.desk.engine.processes)
                if process.ready and process.pid:
                    os.kill(process.pid, signal.SIGKILL)

        await asyncio.gather(killer(), *(client(number) for number in range(16)))
        assert stood.answers.total() == 320
        assert set(stood.answers) <= {"right", "500", "503"}
        # A request is refused only where it was being computed by two processes that were killed.
        assert stood.answers["right"] >= 320 - 2 * 16
        assert stood.events.seen["device lost"] >= 1
        await stood.all_ready()
        assert await stood.ask(1) == "right"

    run(nano, scene, devices=(0, 1))


def test_a_request_that_ends_two_processes_is_refused_and_no_other(nano: Nano) -> None:
    async def scene(stood: Stand) -> None:
        asked = [stood.ask(n, "die" if n == 7 else None) for n in range(20)]
        answers = await asyncio.gather(*asked)
        assert answers == ["500" if n == 7 else "right" for n in range(20)]
        assert stood.events.seen["device lost"] == 2

    run(nano, scene)


def test_what_hangs_is_ended_and_refused(nano: Nano) -> None:
    async def scene(stood: Stand) -> None:
        answers = await asyncio.gather(*(stood.ask(n, "hang" if n == 3 else None) for n in range(8)))
        assert answers == ["500" if n == 3 else "right" for n in range(8)]
        assert stood.events.seen["device ended"] >= 2

    run(nano, scene, hang=1.5)


def test_errors_nan_late_and_gone(nano: Nano) -> None:
    async def scene(stood: Stand) -> None:
        # NaN is said of the request that it belongs to, whatever shared its batch.
        answers = await asyncio.gather(*(stood.ask(n, "nan" if n == 5 else None) for n in range(8)))
        assert answers == ["500" if n == 5 else "right" for n in range(8)]
        # Values that no network answers are the request's own fault, and nothing else.
        rows = np.concatenate([nano.rows[:1], np.full_like(nano.rows[:1], -3e38)])
        beyond = pytest.raises(
            RefusedError, match=r"^nano: gives NaN .* up to 3e\+38; it was checked with up to 4\.\d+: send"
        )
        with beyond as caught:
            await stood.desk.infer("nano", "", InferRequest("", (Tensor.of("image", rows),), {}, {}))
        assert (caught.value.status, stood.events.seen["device ended"]) == (400, 0)
        assert await stood.ask(5) == "right"
        # An error of the device is everybody's in that batch; after three in a row the process is started anew.
        for _ in range(3):
            assert await stood.ask(0, "error") == "500"
        await stood.lost(1)
        await stood.all_ready()
        assert stood.events.seen["device lost"] == 1
        assert await stood.ask(0) == "right"
        # Too late for what waits behind another batch: given up, and never computed.
        before = stood.batches()
        # So few rows are no full batch, which would be sent ahead, whatever a busy machine has measured.
        stood.desk.engine.processes[0].gears = [Gears(dict.fromkeys(SIZES, 0.001), free=True)]
        async with stood.busy() as first:
            late = [stood.ask(n, seconds=0.05) for n in range(3)]
            gone = asyncio.create_task(stood.ask(1))
            await asyncio.sleep(0)
            assert await asyncio.gather(*late) == ["504"] * 3
            gone.cancel()
        assert await first == "right"
        assert await stood.ask(2) == "right"
        assert stood.batches() - before == 2
        assert stood.desk.under_way.count == 0

    run(nano, scene)


def test_a_server_that_ends_while_a_device_dies_leaves_nothing(nano: Nano) -> None:
    async def scene() -> None:
        async with stand(nano) as stood:
            (process,) = stood.desk.engine.processes
            watched = process._process
            assert watched is not None
            os.kill(watched.pid, signal.SIGKILL)
            # The connection ends before the process is known to be over: closed in between.
            while process.ready:
                await asyncio.sleep(0)
        assert process.pid is None
        assert watched.returncode == -signal.SIGKILL

    asyncio.run(scene())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_close_that_is_cancelled_is_ended_by_the_next(nano: Nano, steps: int) -> None:
    async def scene() -> None:
        async with stand(nano) as stood:
            watched = stood.desk.engine.processes[0]._process
            closing = asyncio.create_task(stood.desk.engine.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            assert closing.cancelled()
        assert watched is not None
        assert watched.returncode is not None

    asyncio.run(scene())


def test_a_start_that_is_given_up_leaves_nothing(nano: Nano) -> None:
    async def scene() -> None:
        settings = Settings(threads=1, command=STAND_IN, devices=(0, 1))
        engine = Engine(read_models([f"nano={nano.free}"]), settings, Metrics(), Events())
        starting = asyncio.create_task(engine.start())
        while not all(process.pid for process in engine.processes):
            await asyncio.sleep(0.01)
        watched = [process._process for process in engine.processes]
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert starting.cancelled()
        assert all(process is not None and process.returncode is not None for process in watched)

    asyncio.run(scene())


def test_a_full_queue_says_when_to_come_again(nano: Nano) -> None:
    async def scene(stood: Stand) -> None:
        async with stood.busy() as first:
            asked = [asyncio.create_task(stood.ask(n)) for n in range(200)]
            await asyncio.sleep(0)  # all of them have come
        answers = Counter(await asyncio.gather(*asked))
        assert answers.keys() == {"right", "429"}
        # Those that may wait, and a full batch that the device is given meanwhile.
        assert 6 <= answers["right"] <= 6 + stood.desk.engine.processes[0].gears[0].largest
        assert await first == "right"
        rows = Tensor.of("image", np.repeat(stood.nano.rows[:1], 7, axis=0))
        with pytest.raises(RefusedError, match="send it in parts") as caught:
            await stood.desk.infer("nano", "", InferRequest("", (rows,), {}, {}))
        assert caught.value.status == 413

    run(nano, scene, queue=6, ahead=0.0)


def test_a_picture_that_is_none_leaves_no_work_behind(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = [], threading.Event()

    def reading(path: Path, *_: Any) -> None:
        begun.append(path)
        if path.name == "picture 1":
            raise UsageError(f"{path}: is none")
        go.wait(60)

    monkeypatch.setattr(engines, "read_prepared", reading)

    async def scene() -> None:
        engine = Engine(read_models([f"nano={nano.one}"]), Settings(), Metrics(), Events())
        with pytest.raises(UsageError, match="is none"):
            await engine.prepare(engine.models.find("nano")[0], [b""] * 200)
        await asyncio.sleep(0.01)
        go.set()
        behind = engine._decoders.submit(len, "what was begun")
        await asyncio.wrap_future(behind)
        await engine.close()

    asyncio.run(scene())
    assert len(begun) <= 1 + DECODERS


def test_an_artifact_that_answers_no_classes_is_not_the_requests_fault(nano: Nano) -> None:
    async def prepare(*_: Any) -> list[Prepared[NDArray[np.float32]]]:
        return [Prepared(nano.rows[0])]

    async def compute(*_: Any) -> None:
        raise ArtifactError("nano: gives NaN or infinity")

    engine: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), prepare=prepare, compute=compute)
    with pytest.raises(RefusedError, match="gives NaN") as caught:
        asyncio.run(Desk(engine, Settings(), Metrics()).classify("", "", [b"x"]))
    assert caught.value.status == 500


def test_pictures_are_computed_where_they_were_prepared_whatever_a_reload_does(nano: Nano) -> None:
    async def prepare(*_: Any) -> list[Prepared[NDArray[np.float32]]]:
        desk.engine = None  # type: ignore[assignment] # another, which knows nothing of them
        return [Prepared(nano.rows[0])]

    async def compute(*_: Any) -> None:
        raise RefusedError(503, "by the old one")

    old: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), prepare=prepare, compute=compute)
    for picture in ("classify", "infer"):
        desk = Desk(old, Settings(), Metrics())
        asked = InferRequest("", (Tensor("picture", BYTES, (1,), [b"x"]),), {}, {})
        called = desk.classify("", "", [b"x"]) if picture == "classify" else desk.infer("nano-pictures", "", asked)
        with pytest.raises(RefusedError, match="by the old one"):
            asyncio.run(called)


def test_a_device_that_cannot_open_its_file_ends_in_silence_where_its_server_has_gone() -> None:
    ours, its = socket.socketpair()
    model = {"path": os.fsencode("absent.onnx").hex(), "sha256": None}
    ours.sendall(frame({"models": [model], "device": 0, "runtime": "auto", "threads": 1}))
    ours.close()
    number = its.fileno()
    with its:
        command = [*Settings().command, str(number), "0"]
        done = subprocess.run(command, pass_fds=[number], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (FileAccessError.exit_code, "")
