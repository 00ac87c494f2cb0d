"""A connection's front: heads that are too large, too slow or none, and offers to speak another protocol."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from neonext_ascend.serving.web.connection import MOST_HEAD, Connection

HEAD = b"POST /p HTTP/1.1\r\nHost: x\r\n"
OFFER = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Method, path and body; a body that ends with ``slow`` is answered after a while."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if body.endswith(b"slow"):
        await asyncio.sleep(0.1)
    told = f"{scope['method']} {scope['path']} ".encode() + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})


def play(*plays: Play, seconds: float = 30.0) -> None:
    """Each on a connection of its own, all at once."""

    async def run() -> None:
        config = uvicorn.Config(echo, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False)
        state, made = ServerState(), dict[str, Any]()
        made.update(config=config, server_state=state, app_state={})
        server = await asyncio.get_running_loop().create_server(lambda: Connection(seconds, **made), "127.0.0.1", 0)

        async def one(each: Play) -> None:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            async with asyncio.timeout(30):
                await each(reader, writer)
            writer.close()
            await writer.wait_closed()

        async with server:
            await asyncio.gather(*map(one, plays))
            while state.connections:  # until the server's side has gone, too
                await asyncio.sleep(0.001)

    asyncio.run(run())


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    (length,) = (int(line.split()[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("body", [b"", b"body", b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", bytes(2**20) + b"end"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_request_that_offers_an_upgrade_is_answered_with_its_body(body: bytes, parts: int) -> None:
    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):  # the connection is kept
            head = OFFER + b"Content-Length: %d\r\n\r\n" % len(body)
            writer.write(head if parts == 2 else head + body)
            if parts == 2:
                await asyncio.sleep(0.01)
                writer.write(body)
            assert await answer(reader) == (200, b"POST /p " + body)

    async def chunked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OFFER + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n" + HEAD + b"\r\n")
        assert await answer(reader) == (200, b"POST /p body")
        assert await answer(reader) == (200, b"POST /p ")

    play(each, chunked)


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT is not for this server"),
        (HEAD + b"X: " + b"a" * MOST_HEAD + b"\r\n\r\n", 431, "at most 65536 bytes"),
        (HEAD + b"X: y\r\n" * MOST_HEAD + b"\r\n", 431, "at most 65536 bytes"),
        (b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "at most 65536 bytes"),
        (HEAD + b"X: " + b"a" * 2**25, 431, "at most 65536 bytes"),  # without an end
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 2**18, 431, "at most 65536 bytes"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;" + b"a" * 2**20, 431, "at most 65536 bytes"),
        (b"a" * 2**25, 400, "no request of HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "no request of HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no request of HTTP"),
        (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "no request of HTTP"),
        (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400, "no request of HTTP"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nbody", 400, "no request of HTTP"),
        (HEAD + b"Content-Length: 4\r\n\r\nslow" + b"junk\r\n\r\n", 400, "no request of HTTP"),
    ],
)
def test_a_head_that_is_none_is_refused_in_words(
    sent: bytes, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        found, body = await answer(reader)
        assert (found, words in json.loads(body)["error"]) == (status, True), body
        assert await reader.read() == b""  # and nothing comes behind
        if b"slow" in sent:
            await asyncio.sleep(0.3)  # until what was under way would have come

    with caplog.at_level(logging.WARNING):
        play(each)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_is_large_and_no_head_is_taken() -> None:
    single = b"1\r\na\r\n" * 2**17  # frames of five bytes around one
    large = HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(10**6)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + single + b"0\r\nX: y\r\n\r\n")
        assert await answer(reader) == (200, b"POST /p " + b"a" * 2**17)
        for _ in range(2):  # another's head begins in the bytes that end a body
            writer.write(large + HEAD)
            assert len((await answer(reader))[1]) == 10**6 + 8
            writer.write(b"\r\n" + (HEAD + b"\r\n") * 6000 + HEAD + b"X: ")
            for _ in range(6001):
                assert await answer(reader) == (200, b"POST /p ")
            writer.write(b"y\r\n\r\n")
            assert (await answer(reader))[0] == 200

    play(each)


def test_a_head_has_its_time() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        assert (await answer(reader))[0] == 408

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        assert (await answer(reader))[0] == 200
        writer.write(HEAD)
        assert (await answer(reader))[0] == 408

    async def a_body_has_another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 4\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(b"body")
        assert await answer(reader) == (200, b"POST /p body")

    play(silent, slow, later, a_body_has_another, seconds=0.5)
