"""How long a request waits, on a clock that the test turns and a device that takes exactly what it is said to take."""

from __future__ import annotations

import asyncio
import heapq
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
from neonext_ascend.serving.metrics import Metrics

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


def play(monkeypatch: pytest.MonkeyPatch, rate: float, gears: Gears = GEARS, ahead: float = 0.01) -> Played:
    """1,000 requests of one row, at random moments of 64 clients who do not wait for each other."""
    clock = Clock()
    monkeypatch.setattr(dispatcher, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, TimerHandle=object))
    device = Device(clock, [gears])
    model = SimpleNamespace(name="m", version="1")
    desk = Dispatcher(SimpleNamespace(all=[model]), 10**6, DELAY, ahead, Metrics())  # type: ignore[arg-type] # names alone
    desk.lanes.append(device)
    device.answer = desk.answered
    seconds, alone = [0.0] * REQUESTS, [False] * REQUESTS

    loop = asyncio.new_event_loop()
    loop.close()  # futures must name one; nobody is called back

    class Told(asyncio.Future[Any]):
        def __init__(self, number: int) -> None:
            super().__init__(loop=loop)
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
    clock = Clock()
    monkeypatch.setattr(dispatcher, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, TimerHandle=object))
    desk = Dispatcher(SimpleNamespace(all=[SimpleNamespace(name="m", version="1")]), 100, DELAY, 1.0, Metrics())  # type: ignore[arg-type] # names alone
    devices = [Device(clock, [Gears({1: 0.001})]) for _ in range(4)]
    desk.lanes.extend(devices)
    loop = asyncio.new_event_loop()
    loop.close()
    desk.submit(Work(0, np.zeros((10, 1), np.float32), clock.now, asyncio.Future(loop=loop)))
    assert sorted(len(device.inflight) for device in devices) == [2, 2, 3, 3]
