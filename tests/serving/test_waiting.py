"""How long a request waits, on a clock that the test turns and a device that takes exactly what it is said to take."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neonext_ascend.serving.batching import dispatcher
from neonext_ascend.serving.batching.dispatcher import Dispatcher
from neonext_ascend.serving.batching.gears import Gears
from neonext_ascend.serving.batching.work import Batch, Work
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.protocol.tensors import InferRequest, Tensor
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from tests.serving.conftest import Nano

# Seconds of a batch: 400 rows a second by eights, 125 one by one.
GEARS = Gears({1: 0.008, 2: 0.010, 4: 0.013, 8: 0.020})
LONGEST, DELAY, REQUESTS = 0.020, 0.003, 1000
ROW: Any = np.zeros((1, 1), np.float32)


class Clock:
    """What the dispatcher asks of its loop; time jumps to what is due next."""

    def __init__(self) -> None:
        self.now, self._due, self._count = 0.0, [], 0  # type: ignore[var-annotated] # what is due, by time and number

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, action: Callable[[], Any]) -> SimpleNamespace:
        handle = SimpleNamespace(action=action)
        handle.cancel = lambda: setattr(handle, "action", lambda: None)
        self._count += 1
        heapq.heappush(self._due, (when, self._count, handle))
        return handle

    def run(self) -> None:
        while self._due:
            self.now, _, handle = heapq.heappop(self._due)
            handle.action()


@dataclass
class Device:
    """A lane that computes one batch after the other."""

    clock: Clock
    gears: Sequence[Gears]
    ready: bool = True
    broken: bool = False
    inflight: list[Batch] = field(default_factory=list)
    ran: Counter[int] = field(default_factory=Counter)
    busy: float = 0.0

    def send(self, batch: Batch) -> None:
        self.inflight.append(batch)
        if len(self.inflight) == 1:
            self._begin()

    def _begin(self) -> None:
        seconds = self.gears[0].seconds[self.inflight[0].gear]
        self.busy += seconds
        self.clock.call_at(self.clock.now + seconds, self._end)

    def _end(self) -> None:
        batch = self.inflight.pop(0)
        self.ran[batch.gear] += 1
        if self.inflight:
            self._begin()
        self.answer(batch, [np.zeros((batch.rows, 1), np.float32)], 0.0)

    answer: Callable[..., None] = lambda *_: None


@dataclass
class Played:
    """What came of it: seconds of each request, whether it found nobody before it, and the device."""

    seconds: list[float]
    alone: list[bool]
    device: Device
    end: float


LOOP = asyncio.new_event_loop()
LOOP.close()  # futures must name one; nobody is called back


def made(
    monkeypatch: pytest.MonkeyPatch, *gears: Gears, ahead: float = 0.01, devices: int = 1, delay: float = DELAY
) -> tuple[Clock, Dispatcher, list[Device]]:
    """One model for each of these gears."""
    clock = Clock()
    monkeypatch.setattr(dispatcher, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, TimerHandle=object))
    models = SimpleNamespace(all=[SimpleNamespace(name="m", version=str(number)) for number in range(len(gears))])
    desk = Dispatcher(models, 10**6, delay, ahead, Metrics())  # type: ignore[arg-type] # names alone
    lanes = [Device(clock, gears, answer=desk.answered) for _ in range(devices)]
    desk.lanes.extend(lanes)
    return clock, desk, lanes


def play(monkeypatch: pytest.MonkeyPatch, rate: float, gears: Gears = GEARS, ahead: float = 0.01) -> Played:
    """1,000 requests of one row, at random moments of 64 clients who do not wait for each other."""
    clock, desk, (device,) = made(monkeypatch, gears, ahead=ahead)
    seconds, alone = [0.0] * REQUESTS, [False] * REQUESTS

    class Told(asyncio.Future[Any]):
        def __init__(self, number: int) -> None:
            super().__init__(loop=LOOP)
            self.number, self.asked = number, clock.now

        def set_result(self, result: Any) -> None:
            seconds[self.number] = clock.now - self.asked
            super().set_result(result)

    def arrive(number: int) -> None:
        alone[number] = desk.waiting == 0 and len(device.inflight) <= 1
        desk.submit(Work(0, ROW, clock.now, Told(number)))

    for number, moment in enumerate(np.random.RandomState(7).exponential(1 / rate, REQUESTS).cumsum()):
        clock.call_at(float(moment), partial(arrive, number))
    clock.run()
    assert min(seconds) > 0  # each was answered
    return Played(seconds, alone, device, clock.now)


@pytest.mark.parametrize("rate", [20, 80, 160, 240, 320])
def test_a_request_waits_for_two_batches_at_most(monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    played = play(monkeypatch, rate)
    assert any(played.alone)
    # One that finds nobody before it: what is computed, its own delay at most meanwhile, and its own batch.
    first = [seconds for seconds, alone in zip(played.seconds, played.alone, strict=True) if alone]
    assert max(first) <= DELAY + 2 * LONGEST + 1e-9
    assert np.percentile(played.seconds, 99) <= DELAY + 2 * LONGEST + 0.010


def test_batches_grow_with_the_load_and_carry_more_than_single_rows_could(monkeypatch: pytest.MonkeyPatch) -> None:
    means = []
    for rate in (20, 160, 320):
        played = play(monkeypatch, rate)
        means.append(REQUESTS / played.device.ran.total())
        assert played.end == pytest.approx(REQUESTS / rate, rel=0.1)  # it keeps up
    assert means[0] < 1.2 < 1.7 < means[1] < means[2]
    single = play(monkeypatch, 320, Gears({1: 0.008}))
    assert single.end == pytest.approx(REQUESTS * 0.008, rel=0.01)  # 125 a second, whatever comes
    # Flooded, the device is never idle, and every batch is a full one of the best gear.
    flooded = play(monkeypatch, 4000)
    assert flooded.device.ran[8] >= REQUESTS / 8 - 10
    assert flooded.end - flooded.device.busy < 0.01


def test_so_much_is_given_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    most: list[int] = []
    sent = Device.send

    def send(self: Device, batch: Batch) -> None:
        sent(self, batch)
        most.append(len(self.inflight))

    monkeypatch.setattr(Device, "send", send)
    for ahead, expected in ((0.0, 2), (0.01, 2), (0.03, 3), (10.0, dispatcher.MOST_BATCHES)):
        most.clear()
        play(monkeypatch, 4000, ahead=ahead)
        assert max(most) == expected


def test_no_device_gets_ahead_while_another_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, desk, devices = made(monkeypatch, Gears({1: 0.001}), ahead=1.0, devices=4)
    desk.submit(Work(0, np.zeros((10, 1), np.float32), clock.now, asyncio.Future(loop=LOOP)))
    assert sorted(len(device.inflight) for device in devices) == [2, 2, 3, 3]


@pytest.mark.parametrize("ahead", [0.0, 0.01, 1.0])
def test_who_asks_now_and_then_waits_no_longer_than_the_many_of_another_model(
    monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    clock, desk, _ = made(monkeypatch, GEARS, GEARS, ahead=ahead)
    waited: tuple[list[float], list[float]] = ([], [])

    class Told(asyncio.Future[Any]):
        def __init__(self, model: int) -> None:
            super().__init__(loop=LOOP)
            self.model, self.asked = model, clock.now

        def set_result(self, result: Any) -> None:
            waited[self.model].append(clock.now - self.asked)
            super().set_result(result)
            if self.model == 0 and clock.now < 2:  # 64 clients, each of whom asks again
                clock.call_at(clock.now, partial(arrive, 0))

    def arrive(model: int) -> None:
        desk.submit(Work(model, ROW, clock.now, Told(model)))

    for _ in range(64):
        arrive(0)
    for number in range(10):
        clock.call_at(0.1 * (1 + number), partial(arrive, 1))
    clock.run()
    assert len(waited[1]) == 10
    assert max(waited[1]) <= max(waited[0]) + LONGEST
    assert np.mean(waited[0]) < 64 / 400 + LONGEST  # which costs the many no more than its batches


def asked(until: float = math.inf, model: int = 0) -> Work:
    return Work(model, ROW, 0.0, asyncio.Future(loop=LOOP), until)


def had(device: Device) -> list[Work]:
    return [piece.work for batch in device.inflight for piece in batch.pieces]


def dies(desk: Dispatcher, device: Device) -> None:
    device.ready, lost, device.inflight = False, device.inflight, []
    desk.died(lost)


def test_what_a_device_had_goes_to_another_at_once_and_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    _, desk, (one, other) = made(monkeypatch, Gears({1: 1.0}), ahead=0.0, devices=2)
    a, b, c, d, e = (asked() for _ in range(5))
    for work in (a, b, c, d, e):
        desk.submit(work)
    assert (had(one), had(other), desk.waiting) == ([a, c], [b, d], 1)
    other.inflight = []  # as if they were answered
    dies(desk, one)
    assert (had(other), desk.waiting) == ([a, c], 1)
    # What was computed is to blame, and nothing behind it.
    one.ready = True
    dies(desk, other)
    assert (had(one), [work.deaths for work in (a, c, e)]) == ([c, e], [2, 0, 0])
    refused = a.answer.exception()
    assert isinstance(refused, RefusedError)
    assert refused.status == 500
    c.answer.cancel()
    dies(desk, one)
    assert (desk.waiting, e.over) == (1, False)
    one.broken = True
    desk.died([])
    assert not e.over
    other.broken = True
    desk.died([])
    refused = e.answer.exception()
    assert isinstance(refused, RefusedError)
    assert (refused.status, desk.waiting) == (503, 0)
    with pytest.raises(RefusedError, match="no device answers"):
        desk.submit(asked())


def test_what_a_device_could_not_compute_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    _, desk, (device,) = made(monkeypatch, Gears({1: 1.0}), ahead=0.0)
    a, b, c = (asked() for _ in range(3))
    for work in (a, b, c):
        desk.submit(work)
    desk.failed(device.inflight.pop(0), "words")
    assert had(device) == [b, c]
    with pytest.raises(RefusedError, match="the device gave no answer: words"):
        a.answer.result()


def test_who_finds_a_full_queue_is_told_when_it_will_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, desk, devices = made(monkeypatch, Gears({1: 1.0, 2: 1.6}), ahead=0.0, devices=3)
    monkeypatch.setattr(desk, "_limit", 10)
    devices[2].ready = False
    for _ in range(18):
        desk.submit(asked())
    for ready, seconds in ((2, 4), (0, 5)):  # ten rows by twos, on each that is ready
        for device in devices[ready:]:
            device.ready = False
        with pytest.raises(RefusedError) as caught:
            desk.submit(asked())
        assert (caught.value.status, caught.value.retry_after) == (429, seconds)


def left(monkeypatch: pytest.MonkeyPatch, *works: Work) -> list[tuple[float, list[Work]]]:
    """When these leave that come at once where all wait for eight seconds, and who with whom."""
    clock, desk, (device,) = made(monkeypatch, GEARS, GEARS, delay=8.0)
    found = []
    monkeypatch.setattr(device, "send", lambda batch: found.append((clock.now, [p.work for p in batch.pieces])))
    for work in works:
        desk.submit(work)
    clock.run()
    return found


def test_nobody_waits_for_company_until_he_has_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    spare, slower = dispatcher.SPARE, dispatcher.SLOWER
    assert left(monkeypatch, patient := asked()) == [(8.0, [patient])]
    assert left(monkeypatch, short := asked(1.0)) == [(1.0 - spare - slower * GEARS.seconds[1], [short])]
    # Whoever of a batch goes first takes all along, in the gear that all need.
    works = [asked(5.0), asked(2.0), asked()]
    assert left(monkeypatch, *works) == [(2.0 - spare - slower * GEARS.seconds[4], works)]
    # Without time to spare at once, and not for one who has gone.
    assert left(monkeypatch, hasty := asked(spare)) == [(0.0, [hasty])]
    gone = asked(2.0)
    gone.answer.cancel()
    assert left(monkeypatch, patient := asked(), gone) == [(8.0, [patient])]
    # Each model waits by itself.
    assert left(monkeypatch, patient := asked(), short := asked(3.0, 1)) == [
        (3.0 - spare - slower * GEARS.seconds[1], [short]),
        (8.0, [patient]),
    ]


def test_where_no_others_will_come_nothing_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, desk, (device,) = made(monkeypatch, GEARS, ahead=0.0, delay=8.0)
    desk.submit(first := asked())
    assert had(device) == []
    desk.hurry()
    assert had(device) == [first]
    clock.run()
    desk.submit(late := asked())
    assert (had(device), desk.waiting) == ([late], 0)


def test_an_engine_that_drains_waits_for_no_company(nano: Nano) -> None:
    async def play() -> None:
        engine = Engine(read_models([f"nano={nano.one}"]), Settings(max_delay=1e4), Metrics(), lambda *_, **__: None)
        device = Device(Clock(), [GEARS])
        engine._dispatcher.lanes[:] = [device]
        asking = asyncio.create_task(engine.compute(engine.models.find("nano")[0], nano.rows[:1], 3e9))
        await asyncio.sleep(0)
        assert had(device) == []
        await engine.drain(0.0)
        (work,) = had(device)
        assert work.until == 3e9
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await engine.close()

    asyncio.run(play())


@pytest.mark.parametrize("way", ["server", "deadline", "parameter"])
def test_the_device_is_told_when_a_request_is_given_up(nano: Nano, way: str) -> None:
    told = []

    async def compute(_: Any, __: Any, until: float) -> None:
        told.append(until)
        raise RefusedError(503, "")

    async def play() -> None:
        engine: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), compute=compute)
        desk = Desk(engine, Settings(timeout=5.0 if way == "server" else 900.0), Metrics())
        row = (Tensor.of("image", nano.rows[:1]),)
        request = InferRequest("", row, {}, {"timeout": 5_000_000} if way == "parameter" else {})
        before = asyncio.get_running_loop().time()
        with pytest.raises(RefusedError):
            await desk.infer("nano", "", request, 5.0 if way == "deadline" else None)
        (until,) = told
        assert before + 5 <= until <= asyncio.get_running_loop().time() + 5

    asyncio.run(play())
