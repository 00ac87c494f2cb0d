"""What signals ask for while a server starts, serves and ends."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from neonext_ascend.serving import life as lives
from neonext_ascend.serving import server
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.life import LEAST, Life, hearing
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web import app as apps
from neonext_ascend.serving.web.rpc import Rpc
from tests.serving.conftest import Nano
from tests.serving.test_faults import Events
from tests.support.serving import serving

INFER = "/v2/models/nano/infer"
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class _Asked(Life):
    """Only notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stop(self) -> None:
        self.seen.append("stop")

    def reload(self) -> None:
        self.seen.append("reload")


def test_each_part_of_its_life_has_its_own_answer_to_a_signal() -> None:
    kept, life = [signal.getsignal(number) for number in SIGNALS], _Asked()
    with hearing() as wishes:
        signal.raise_signal(signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert life.seen == []
        wishes.heed(life)
        assert life.seen == ["reload"]
        for number in SIGNALS:
            signal.raise_signal(number)
        assert life.seen == ["reload", "reload", "stop", "stop"]
        wishes.over()
        for number in SIGNALS:
            signal.raise_signal(number)
    assert life.seen == ["reload", "reload", "stop", "stop"]
    assert [signal.getsignal(number) for number in SIGNALS] == kept


def test_a_hangup_at_any_moment_of_its_end_changes_nothing(nano: Nano) -> None:
    with serving(f"nano={nano.one}") as up:
        up.process.send_signal(signal.SIGTERM)
        while up.process.poll() is None:
            up.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        assert up.process.returncode == 0


@pytest.mark.parametrize(("path", "come"), [("/classify", False), (INFER, False), (INFER, True)])
def test_who_is_not_yet_asking_when_the_drain_is_over_is_answered_too(
    nano: Nano, monkeypatch: pytest.MonkeyPatch, path: str, come: bool
) -> None:
    """His body still comes, or much JSON is still read."""
    monkeypatch.setattr(lives, "LINGER", 0.0)
    monkeypatch.setattr(apps, "LARGE", 1)
    monkeypatch.setattr(apps, "parse_request", lambda *_: asyncio.Event().wait())
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}

    async def play() -> None:
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not come:
                await over.wait()
            return {"type": "http.request", "body": b"{}", "more_body": False}

        def ask() -> tuple[asyncio.Task[None], list[Any]]:
            told: list[Any] = []

            async def send(message: Any) -> None:
                told.append(message)

            return asyncio.create_task(app(scope, receive, send)), told

        async def refused(told: list[Any], words: str) -> None:
            async with asyncio.timeout(30):
                while len(told) < 2:
                    await asyncio.sleep(0)
            head, body = told[:2]
            assert (head["status"], json.loads(body["body"])) == (503, {"error": words})
            assert body["more_body"]  # what he still sends is read for a while, so that he comes to read this
            assert {(b"connection", b"close"), (b"retry-after", b"1")} <= set(head["headers"])

        engine: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), hurry=lambda: None)
        desk = Desk(engine, Settings(drain=0.01), Metrics())
        life, app, serving = Life(desk, [], Events()), apps.App(desk, None, Events()), asyncio.create_task(stay(over))
        asking, told = ask()
        await asyncio.sleep(0)
        assert desk.under_way.count == 1
        life._ending.set()
        assert await life.over(serving) == LEAST
        await refused(told, "given up: the server is ending; ask another")
        late, told = ask()  # is not waited for
        await refused(told, "the server is ending; ask another")
        assert desk.under_way.count == 0
        over.set()
        await asyncio.gather(asking, late, serving)

    asyncio.run(play())


async def stay(over: asyncio.Event) -> None:
    await over.wait()


def test_there_is_one_end_for_every_door(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of gRPC that sends nothing, or a client that reads nothing, does not begin the drain anew."""
    monkeypatch.setattr(lives, "LINGER", 0.1)
    left: list[Any] = []
    stop, shutdown = Rpc.stop, server._Uvicorn.shutdown

    async def stopped(self: Rpc, grace: float | None) -> None:
        left.append(grace)
        await stop(self, grace)

    async def shut(self: Any, sockets: Any = None) -> None:
        left.append(self.config.timeout_graceful_shutdown)
        await shutdown(self, sockets)

    class Engine:
        models, processes = SimpleNamespace(titles=()), ()

        def told(self) -> list[Any]:
            return []

        def hurry(self) -> None:
            pass

        async def start(self) -> None:
            pass

        close = start

    monkeypatch.setattr(Rpc, "stop", stopped)
    monkeypatch.setattr(server._Uvicorn, "shutdown", shut)
    monkeypatch.setattr(server, "read_models", lambda _: None)
    monkeypatch.setattr(server, "Engine", lambda *_: Engine())
    server.serve_until_told([], Settings(port=0, grpc_port=0, drain=900.0), Events(), lambda told: told.stop())
    given = [seconds for seconds in left if seconds is not None]
    assert len(given) == 2
    assert LEAST < given[0] == given[1] <= 900.0 - lives.LINGER
