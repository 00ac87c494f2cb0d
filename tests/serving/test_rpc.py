"""The gRPC door: who is refused before he has sent anything, and when its port is taken and given back."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.serving import server
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.protocol.messages import METHODS, SERVICE
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web import rpc as rpcs
from neonext_ascend.serving.web.rpc import Rpc
from tests.serving.test_faults import Events

KEY = "a-key-of-ours"


def test_who_has_no_key_is_refused_before_he_sends_a_body() -> None:
    async def play() -> None:
        engine: Any = SimpleNamespace(ready=True)
        settings, metrics = Settings(grpc_port=0), Metrics()
        rpc = Rpc(settings, None)
        await rpc.start(Desk(engine, settings, metrics), KEY, Events())
        try:
            async with grpc.aio.insecure_channel(rpc.address) as channel:
                for number, sent in enumerate(([], [("x-api-key", "theirs")], [("authorization", KEY)]), 1):
                    for method in METHODS[2:]:
                        # A call that sends its head, and never a message.
                        call = channel.stream_unary(f"/{SERVICE}/{method}", bytes, bytes)(timeout=30, metadata=sent)
                        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
                        assert "expected the API key, as authorization: Bearer KEY" in await call.details()
                    counted = metrics.requests.labels("", "", "401")
                    assert counted._value.get() == 4 * number
                for method, ours in [*((m, ("x", "y")) for m in METHODS[:2]), (METHODS[3], ("x-api-key", KEY))]:
                    assert await channel.unary_unary(f"/{SERVICE}/{method}", bytes, bytes)(
                        b"", timeout=30, metadata=[ours]
                    )
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(f"/{SERVICE}/Nothing", bytes, bytes)(b"", timeout=30)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        finally:
            await rpc.stop(None)

    asyncio.run(play())


def test_its_port_is_taken_before_a_device_is_opened_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[tuple[str, int]] = []

    class Kept(Rpc):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            where.append(("127.0.0.1", int(self.address.rsplit(":", 1)[1])))

    def read(_: object) -> None:
        with pytest.raises(OSError, match="in use"):
            socket.create_server(where[0])
        raise UsageError("there is no such file")

    monkeypatch.setattr(rpcs, "Rpc", Kept)
    monkeypatch.setattr(server, "read_models", read)
    with pytest.raises(UsageError, match="there is no such file"):
        server.serve_until_told([], Settings(port=0, grpc_port=0), Events(), lambda _: None)
    socket.create_server(where[0]).close()


def test_a_port_that_another_takes_meanwhile_is_told() -> None:
    async def play(port: int) -> None:
        with pytest.raises(FileAccessError, match=rf"^127\.0\.0\.1:{port}: cannot listen there; take another --grpc"):
            Rpc(Settings(grpc_port=port), None)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(play(taken.getsockname()[1]))
