"""Clients that are slow, vanish or send too much: the others do not notice, and nothing is computed for nobody."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.serving import life as lives
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import Models, read_models
from neonext_ascend.serving.protocol.tensors import InferRequest, Tensor
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.server import serve_until_told
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.started import Started
from tests.serving.conftest import Nano
from tests.serving.endurance import request_of
from tests.serving.test_faults import STAND_IN, Events

ROWS = r'neonext_batch_rows_sum\{model="nano",version="1"\}'


@contextmanager
def server(nano: Nano, log: Events, **options: Any) -> Iterator[Started]:
    """In a thread, with the stand-in's runner, one request at a time."""
    settings = Settings(port=0, threads=1, ahead=0.0, command=STAND_IN, **options)
    ready: queue.Queue[Started] = queue.Queue()
    life = threading.Thread(target=serve_until_told, args=([f"nano={nano.one}"], settings, log, ready.put))
    life.start()
    started = ready.get(timeout=900)
    try:
        yield started
    finally:
        started.stop()
        life.join(60)
    assert not life.is_alive()


@pytest.fixture(scope="module")
def up(nano: Nano) -> Iterator[Started]:
    """One with little patience for bodies."""
    with server(nano, Events(), timeout=2.0, max_body=2**20) as started:
        yield started


def connect(up: Started) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(up.url.rsplit(":", 1)[1])), timeout=30)


def status(connection: socket.socket) -> str:
    return connection.recv(65536).split(b" ", 2)[1].decode()


def counted(up: Started, pattern: str) -> float:
    with connect(up) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        page = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    found = re.search(rf"^{pattern} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(held: Callable[[], object]) -> None:
    """A minute, in which a busy machine comes to it."""
    end = time.monotonic() + 60
    while not held():
        assert time.monotonic() < end
        time.sleep(0.01)


def come(up: Started) -> float:
    """Rows that were sent to the device, or wait."""
    return counted(up, ROWS) + counted(up, r'neonext_queue_rows\{model="nano",version="1"\}')


@contextmanager
def standing_still(up: Started) -> Iterator[None]:
    """The device, as long as this lasts; however late the test is, nothing is computed meanwhile."""
    (pid,) = up.pids
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def patient(nano: Nano) -> Iterator[Started]:
    """One that gives requests the time they have by default."""
    with server(nano, Events(), max_body=2**20) as started:
        yield started


def test_what_is_there_from_the_start_is_not_collected_while_requests_wait(
    nano: Nano, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(gc, "freeze", partial(done.append, "frozen"))
    monkeypatch.setattr(gc, "unfreeze", partial(done.append, "free"))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 0)
    with server(nano, Events()) as up:
        assert done == ["free", "frozen"]
        up.reload()
        until(lambda: len(done) >= 4)  # what came in place of what was there, too
        assert done == ["free", "frozen"] * 2
    assert done[-1] == "free"


def test_what_nobody_waits_for_is_not_computed(patient: Started, nano: Nano) -> None:
    up, gone = patient, r'neonext_requests_total\{model="nano",status="499",version="1"\}'
    before = counted(up, ROWS)
    slow = [connect(up) for _ in range(5)]  # one is computed, one is with the device, three wait
    with standing_still(up):
        for connection in slow:
            connection.sendall(request_of(nano.rows[0]))
        until(lambda: come(up) - before >= 5)
        with connect(up) as vanishing:
            vanishing.sendall(request_of(nano.rows[0]))
            until(lambda: come(up) - before >= 6)
        until(lambda: counted(up, gone))
    assert [status(connection) for connection in slow] == ["200"] * 5
    for connection in slow:
        connection.close()
    assert counted(up, gone) == 1
    assert counted(up, ROWS) - before == 5


def test_a_body_that_is_too_large_or_too_slow_is_refused_and_no_other(
    up: Started, patient: Started, nano: Nano
) -> None:
    head = b"POST /v2/models/nano/infer HTTP/1.1\r\nHost: x\r\n"
    with connect(patient) as large, connect(patient) as growing, connect(up) as slow, connect(patient) as good:
        large.sendall(head + b"Content-Length: 104857600\r\n\r\n")
        growing.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + (b"20000\r\n" + bytes(0x20000) + b"\r\n") * 9)
        slow.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        good.sendall(request_of(nano.rows[0]))
        assert status(good) == "200"
        assert status(large) == "413"
        assert status(growing) == "413"
        assert status(slow) == "408"


def test_what_is_not_computed_in_time_is_given_up(up: Started, nano: Nano) -> None:
    begun = [connect(up) for _ in range(9)]
    with standing_still(up):
        for connection in begun:
            connection.sendall(request_of(nano.rows[0]))
        assert [status(connection) for connection in begun] == ["504"] * 9
    for connection in begun:
        connection.close()

    def answered() -> bool:
        with connect(up) as waiting:
            waiting.sendall(request_of(nano.rows[0]))
            return status(waiting) == "200"

    until(answered)  # a machine that is busy for longer than this server has patience is asked again


def test_what_is_under_way_is_answered_by_what_is_replaced_and_by_what_ends(nano: Nano, tmp_path: Path) -> None:
    path = tmp_path / "latest.onnx"
    path.with_suffix(".json").write_bytes(nano.one.with_suffix(".json").read_bytes())
    path.write_bytes(nano.one.read_bytes())
    log, told = Events(), {"name": "nano", "version": "1", "path": str(path)}
    with ExitStack() as stack, server(nano._replace(one=path), log, timeout=300.0, hang=300.0) as up:
        assert log.last["ready"]["models"] == [told | {"sha256": sha256_of(nano.one)}]
        (ready,) = log.last["device ready"]["models"]
        assert 0 < ready["gear_ms"]["1"] < 1000
        slow = [stack.enter_context(connect(up)) for _ in range(12)]
        with standing_still(up):
            for connection in slow:
                connection.sendall(request_of(nano.rows[0]))
            until(lambda: come(up) >= 12)
            path.write_bytes(path.read_bytes() + b"\x32\x01x")  # protobuf's field 6, the text of a model
            up.reload()
            until(lambda: log.seen["reloaded"])
            (model,) = log.last["reloaded"]["models"]
            assert model.pop("doubts").startswith("changed since its export")
            assert model == told | {"sha256": sha256_of(path)}
            fresh = stack.enter_context(connect(up))
            fresh.sendall(request_of(nano.rows[0]))
            assert status(fresh) == "200"
            up.stop()
            until(lambda: log.seen["draining"])
        assert [status(connection) for connection in slow] == ["200"] * 12
    assert log.seen["device ready"] == 2
    assert log.seen["ended"] == 1


def test_a_reload_that_is_asked_for_during_another_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files may have changed since that one read them."""
    log, go = Events(), asyncio.Event()

    class Slow:
        async def start(self) -> None:
            await go.wait()

        async def drain(self, _: float) -> None:
            pass

        close = start

        def told(self) -> None:
            pass

    for name, made in (("Engine", lambda *_: Slow()), ("read_models", lambda _: None), ("settle", lambda: None)):
        monkeypatch.setattr(lives, name, made)

    async def play() -> None:
        desk: Any = SimpleNamespace(engine=Slow(), settings=Settings(), metrics=None)
        life = lives.Life(desk, [], log)
        for _ in range(3):
            life._begin_reload()
            await asyncio.sleep(0)
        go.set()
        assert life._reloading is not None
        await life._reloading
        assert not life.replaced

    asyncio.run(play())
    assert log.seen["reloaded"] == 2


def test_what_is_under_way_when_the_drain_is_over_is_answered_too(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "LINGER", 0.0)

    async def compute(*_: Any) -> None:
        await asyncio.Event().wait()

    async def play() -> None:
        hurried: list[None] = []
        hurry = partial(hurried.append, None)
        engine: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), compute=compute, hurry=hurry)
        desk = Desk(engine, Settings(drain=0.01), Metrics())
        life, serving = lives.Life(desk, [], Events()), asyncio.create_task(compute())
        request = InferRequest("", (Tensor.of("image", nano.rows[:1]),), {}, {})
        asked = asyncio.create_task(desk.infer("nano", "", request))
        await asyncio.sleep(0)
        assert desk.under_way.count == 1
        life._ending.set()
        await life.over(serving)
        with pytest.raises(RefusedError, match="given up: the server is ending") as caught:
            async with asyncio.timeout(30):
                await asked
        assert (caught.value.status, caught.value.retry_after, desk.under_way.count) == (503, 1, 0)
        assert hurried == [None]  # what waited for company was not to, while there was time
        serving.cancel()

    asyncio.run(play())


def test_a_hangup_while_it_starts_is_obeyed_once_it_is_ready(nano: Nano, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Events()

    def read(words: Sequence[str]) -> Models:
        if not log.seen:
            os.kill(os.getpid(), signal.SIGHUP)
        return read_models(words)

    def ended(*_: object) -> None:
        raise AssertionError("SIGHUP ends it")

    def stop(ready: Started) -> None:
        try:
            until(lambda: log.seen["reloaded"])
        finally:
            ready.stop()

    def started(ready: Started) -> None:
        threading.Thread(target=stop, args=(ready,)).start()

    monkeypatch.setattr("neonext_ascend.serving.server.read_models", read)
    kept = signal.signal(signal.SIGHUP, ended)
    try:
        settings = Settings(port=0, threads=1)
        serve_until_told([f"nano={nano.one}"], settings, log, started)
        assert signal.getsignal(signal.SIGHUP) is ended
    finally:
        signal.signal(signal.SIGHUP, kept)
    assert (log.seen["reloaded"], log.seen["ended"]) == (1, 1)
