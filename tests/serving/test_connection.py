"""A connection's front: heads that are too large, too slow or none, and offers to speak another protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from neonext_ascend.serving.web import connection as connections
from neonext_ascend.serving.web.connection import MOST_HEAD, Connection

HEAD = b"POST /p HTTP/1.1\r\nHost: x\r\n"
OFFER = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Method, path and body; of ``/unread`` no body is read."""
    body, more = b"", scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    told = f"{scope['method']} {scope['path']} ".encode() + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})


def made(app: Any, state: ServerState, **settings: Any) -> dict[str, Any]:
    """What the library gives a connection."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False, **settings
    )
    return {"config": config, "server_state": state, "app_state": {}}


def play(
    *plays: Play,
    seconds: float = 30.0,
    app: Any = echo,
    state: ServerState | None = None,
    make: Callable[..., Connection] = Connection,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None] = (None, None),
    **settings: Any,
) -> None:
    """Each on a connection of its own, all at once."""
    state = state or ServerState()
    given = made(app, state, **settings)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: make(seconds, **given), "127.0.0.1", 0, ssl=tls[0]
        )

        async def one(each: Play) -> None:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=tls[1])
            try:
                async with asyncio.timeout(30):
                    await each(reader, writer)
            finally:
                writer.transport.abort()

        async with server:
            await asyncio.gather(*map(one, plays))
            while state.connections:  # until the server's side has gone, too
                await asyncio.sleep(0.001)
        timed: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined] # no other tells
        assert [handle for handle in timed if not handle.cancelled()] == []

    asyncio.run(run())


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.001)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    (length,) = (int(line.split()[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("body", [b"", b"body", b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", bytes(2**20) + b"end"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_request_that_offers_an_upgrade_is_answered_with_its_body(
    body: bytes, parts: int, caplog: pytest.LogCaptureFixture
) -> None:
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

    async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nbody" + b"more")
        assert await answer(reader) == (200, b"POST /p body")
        assert await reader.read() == b""

    async def many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((OFFER + b"\r\n") * 1000)
        for _ in range(1000):
            assert await answer(reader) == (200, b"POST /p ")

    play(each, chunked, closed, many)
    assert caplog.records == []


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \t  "])
def test_white_space_around_a_value_is_no_part_of_it(blank: bytes) -> None:
    heard = list[tuple[bytes, bytes]]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend(scope["headers"])
        await echo(scope, receive, send)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields = (b"X-API-Key:%ba key%b", b"Empty:%b%b", b"Expect:%b100-continue%b", b"Content-Length:%b4%b")
        writer.write(HEAD + b"\r\n".join(field % (blank, blank) for field in fields) + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert await answer(reader) == (200, b"POST /p body")

    play(each, app=app)
    assert heard[1:] == [
        (b"x-api-key", b"a key"),
        (b"empty", b""),
        (b"expect", b"100-continue"),
        (b"content-length", b"4"),
    ]


def test_a_method_that_is_for_nothing_here_is_told_what_others_are() -> None:
    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(
            b"HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD, POST\r\n"
        )

    play(each)


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n", 405, "CONNECT is not for this server"),
        (HEAD + b"X: " + b"a" * MOST_HEAD + b"\r\n\r\n", 431, "at most 65536 bytes"),
        (HEAD + b"a: b\r\n" * 11000 + b"\r\n", 431, "at most 65536 bytes"),  # in whatever pieces it comes
        (b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "at most 65536 bytes"),
        (HEAD + b"X: " + b"a" * 2**25, 431, "at most 65536 bytes"),  # without an end
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 2**18, 431, "at most 65536 bytes"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;" + b"a" * 2**20, 431, "at most 65536 bytes"),
        (CHUNKED + b"80000\r\n" + b"a" * 2**19 + b"\r\n1;" + b"a" * 2**23, 431, "at most 65536 bytes"),
        (b"a" * 2**25, 400, "no request of HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "no request of HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no request of HTTP"),
        (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "no request of HTTP"),
        (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400, "no request of HTTP"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nbody", 400, "no request of HTTP"),
        (HEAD + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400, "no request of HTTP"),
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


def test_what_one_request_brought_allows_the_next_nothing() -> None:
    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(10**6))
        assert (await answer(reader))[0] == 200
        writer.write(CHUNKED + b"1;" + b"a" * 2**21)
        assert (await answer(reader))[0] == 431

    play(each)


def test_what_has_come_is_not_copied_for_each_piece_that_follows() -> None:
    state = ServerState()

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        await until(lambda: state.connections)
        (here,) = state.connections
        assert isinstance(here, Connection)
        await until(lambda: here.cycle)
        here.data_received(b"1\r\na\r\n" * 2)
        held = here.cycle.body
        here.data_received(b"1\r\na\r\n" * 2)
        assert here.cycle.body is held
        writer.write(b"0\r\n\r\n")
        assert await answer(reader) == (200, b"POST /p aaaa")

    play(each, state=state)


def test_a_head_has_its_time() -> None:
    state = ServerState()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until(lambda: state.connections)
        (here,) = state.connections
        assert isinstance(here, Connection)
        for _ in range(2):  # a body has none, whether its request is the first or not
            assert here.timeout_keep_alive_task
            writer.write(HEAD + b"Content-Length: 4\r\n\r\n")
            await until(lambda: here.cycle and not here.cycle.response_complete)
            assert here.timeout_keep_alive_task is None
            writer.write(b"body")
            assert (await answer(reader))[0] == 200
        kept = here.timeout_keep_alive_task
        writer.write(HEAD)
        await until(lambda: here.timeout_keep_alive_task is not kept)
        here.timeout_keep_alive_handler()  # as it comes after 30 s
        assert (await answer(reader))[0] == 408

    play(slow, state=state, timeout_keep_alive=100)  # longer than any test


def test_a_connection_that_waits_for_nothing_is_closed() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    async def blank(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        with contextlib.suppress(ConnectionError):
            await answer(reader)
            writer.write(b"\r\n")
            assert await reader.read() == b""

    async def drop_by_drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"/p", b"/unread") + b"Content-Length: 1000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await answer(reader)
            while not (reader.at_eof() or writer.transport.is_closing()):
                writer.write(b"a")
                await asyncio.sleep(0.01)

    play(silent, seconds=0.1)
    play(blank, drop_by_drop, seconds=1, timeout_keep_alive=1)


@pytest.mark.parametrize("ending", [False, True])
def test_a_client_that_does_not_read_is_let_go(ending: bool, caplog: pytest.LogCaptureFixture) -> None:
    state = ServerState()

    async def full(scope: Any, receive: Any, send: Any) -> None:  # until something is left that the system did not take
        (here,) = state.connections
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not here.transport.get_write_buffer_size():
            await send({"type": "http.response.body", "body": bytes(2**14), "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"end"})

    async def each(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        await until(lambda: state.connections)
        (here,) = state.connections
        await until(here.transport.get_write_buffer_size)
        if ending:
            here.shutdown()
        await until(lambda: not state.connections and not state.tasks)

    play(
        each,
        seconds=30 if ending else 0.1,
        app=full,
        state=state,
        timeout_keep_alive=0,
        timeout_graceful_shutdown=0,
    )
    assert caplog.records == []


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n", CHUNKED])
def test_a_client_that_breaks_off_leaves_nothing_timed(sent: bytes) -> None:
    state = ServerState()

    async def each(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await until(lambda: state.connections)
        await asyncio.sleep(0.01)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()  # not an end, an error

    play(each, state=state)


def test_what_comes_while_a_request_is_answered_waits_unread() -> None:
    state, go, most = ServerState(), asyncio.Event(), 0
    request = HEAD + b"X: " + b"a" * 1000 + b"\r\n\r\n"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most
        (here,) = state.connections
        assert isinstance(here, Connection)
        await go.wait()
        most = max(most, len(here.pipeline) * len(request) + len(here._held))
        await echo(scope, receive, send)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request * 4000)
        await until(lambda: state.connections)
        (here,) = state.connections
        await until(lambda: not here.transport.is_reading())
        go.set()
        for _ in range(4000):
            assert await answer(reader) == (200, b"POST /p ")

    play(each, state=state, app=app)
    assert 0 < most <= 2**19 + MOST_HEAD  # what two readings bring, the second in addition to what was held


def test_the_request_that_is_answered_is_told_that_its_client_has_gone() -> None:
    state, told = ServerState(), list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        told.append(scope["path"] + " " + (await receive())["type"])

    async def each(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(HEAD + b"\r\n" + behind)
        await until(lambda: state.connections)
        (here,) = state.connections
        assert isinstance(here, Connection)
        await until(lambda: here.pipeline)
        writer.write(behind)
        await until(lambda: here._held)
        writer.transport.abort()
        await until(lambda: told)
        assert not here.pipeline

    play(each, state=state, app=app)
    assert told == ["/p http.disconnect"]


@pytest.mark.parametrize(
    "wrong", [b"junk\r\n\r\n", CHUNKED + b"-1\r\n", OFFER.replace(b"POST /p", b"CONNECT h:1") + b"\r\n"]
)
def test_a_refusal_comes_behind_the_answers_to_what_came_before(wrong: bytes, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 4\r\n\r\nbody" + HEAD + b"\r\n" + wrong)
        await until(lambda: caplog.records)
        go.set()
        assert await answer(reader) == (200, b"POST /p body")
        assert await answer(reader) == (200, b"POST /p ")
        assert (await answer(reader))[0] in (400, 405)
        assert await reader.read() == b""

    with caplog.at_level(logging.WARNING):
        play(each, app=app)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_time_of_a_head_that_is_refused_does_not_end_the_answer_before_it() -> None:
    state, go = ServerState(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await echo(scope, receive, send)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\nGET /")
        await until(lambda: state.connections)
        (here,) = state.connections
        assert isinstance(here, Connection)
        await until(lambda: here.timeout_keep_alive_task and here._running)
        writer.write(b"\0\r\n\r\n")
        await until(lambda: here._refusal)
        assert here.timeout_keep_alive_task is None
        go.set()
        assert await answer(reader) == (200, b"POST /p ")
        assert (await answer(reader))[0] == 400

    play(each, state=state, app=app)


@pytest.mark.parametrize("more", [True, False])
def test_who_is_answered_before_his_body_has_come_is_answered_once(more: bool) -> None:
    gone = asyncio.Event()

    async def early(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no", "more_body": more})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        assert await answer(reader) == (413, b"no")
        writer.write(b"-1\r\n")
        assert await reader.read() == b""
        await gone.wait()

    play(each, app=early)


def test_who_is_refused_and_stays_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ServerState()
    monkeypatch.setattr(connections, "LINGER", 0.05)

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"junk\r\n\r\n")
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""
        await until(lambda: not state.connections)

    play(each, state=state)


def test_nothing_is_timed_before_there_is_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        Connection(0, **made(echo, ServerState()))  # as one whose handshake of TLS fails
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert caplog.records == []


def test_an_answer_leaves_in_one_write() -> None:
    writes = list[bytes]()

    class Noting:
        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def write(self, data: bytes) -> None:
            writes.append(data)
            self._transport.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    class Noted(Connection):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(Noting(transport))  # type: ignore[arg-type] # it answers for one

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 4\r\n\r\nbody")
        assert await answer(reader) == (200, b"POST /p body")

    play(each, make=Noted)
    assert len(writes) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="nothing here makes a certificate")
def test_a_connection_is_kept_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=cert)
    ours.load_cert_chain(cert, key)
    theirs.check_hostname = False  # it is named by its address here

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(HEAD + b"Content-Length: 4\r\n\r\nbody")
            assert await answer(reader) == (200, b"POST /p body")
        writer.write((HEAD + b"\r\n") * 10000)
        for _ in range(10000):
            assert await answer(reader) == (200, b"POST /p ")
        writer.write(b"junk\r\n\r\n")
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""

    with caplog.at_level(logging.WARNING):
        play(each, tls=(ours, theirs))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
