"""The connection of a load: what is an answer and what is none, whatever form a server gives it."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl

import pytest

from neonext_ascend.client import wire
from neonext_ascend.client.wire import Address, Reply, Wire, asked_once
from tests.standins.talking import Script, says, talking

ASKED = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 4\r\n\r\nuntil the end"


def ask(*scripts: Script, requests: list[bytes] | None = None, host: str = "127.0.0.1") -> list[Reply]:
    """What becomes of one request after the other on one wire."""

    async def play(port: int) -> list[Reply]:
        connection = Wire(Address(host, port), 30)
        replies = [await connection.ask(request) for request in requests or [ASKED]]
        connection.close()
        await asyncio.sleep(0)
        return replies

    with talking(*scripts, host=host) as port:
        return asyncio.run(play(port))


@pytest.mark.parametrize(
    ("answer", "kind", "body"),
    [
        (GOOD, "200", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, "200", b"ok"),
        (b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + GOOD, "200", b"ok"),
        (ENDLESS, "200", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", "200", b"old"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nin\r\n4\r\n two\r\n0\r\n\r\n", "200", b"in two"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503", b""),
        (b"HTTP/1.1 204 None\r\n\r\n", "204", b""),
        # None of these is a whole answer.
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "connection", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nin\r\n", "connection", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "connection", b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "connection", b""),
        (b"SSH-2.0-OpenSSH\r\n", "connection", b""),
        (b"", "connection", b""),
    ],
)
def test_what_is_an_answer(answer: bytes, kind: str, body: bytes) -> None:
    (reply,) = ask(says(answer))
    assert (reply.kind, reply.body) == (kind, body)
    if answer == ENDLESS:
        assert reply.length == "4"


def test_who_speaks_no_http_and_stays_is_left_at_once() -> None:
    def stays(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n")
        while connection.recv(65536):
            pass

    assert [reply.kind for reply in ask(stays)] == ["connection"]


def test_a_connection_is_kept_and_what_ended_is_opened_again() -> None:
    closing = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1"
    replies = ask(says(GOOD, old), says(ENDLESS), says(closing), says(GOOD), requests=[ASKED] * 5)
    assert [reply.body for reply in replies] == [b"ok", b"1", b"until the end", b"ok", b"ok"]


def test_bytes_behind_an_answer_are_not_the_next_ones() -> None:
    for more in (b"junk", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 500 No\r\nConte"):
        replies = ask(says(GOOD + more, GOOD), says(GOOD), requests=[ASKED] * 2)
        assert [reply.kind for reply in replies] == ["200", "200"], more


def test_a_refusal_that_comes_before_the_body_is_read_is_an_answer() -> None:
    def refuses(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(2**20):
            pass

    replies = ask(refuses, says(GOOD), requests=[ASKED + bytes(2**23), ASKED])
    assert [reply.kind for reply in replies] == ["413", "200"]


def test_a_request_that_crosses_an_idle_connections_end_is_sent_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanishes(connection: socket.socket) -> None:
        says(GOOD, b"")(connection)  # reads the second request, and closes without a word

    # Under load a connection is not idle, and its end is an error that counts.
    monkeypatch.setattr(wire, "IDLE", 3600.0)
    assert [reply.kind for reply in ask(vanishes, says(GOOD), requests=[ASKED] * 2)] == ["200", "connection"]
    monkeypatch.setattr(wire, "IDLE", 0.0)
    assert [reply.kind for reply in ask(vanishes, says(GOOD), requests=[ASKED] * 2)] == ["200", "200"]
    # Not where it is a new one, nor where an answer had begun.
    assert [reply.kind for reply in ask(says(b""), says(GOOD))] == ["connection"]
    begins = says(GOOD, b"HTTP/1.1 200 OK\r\n")
    assert [reply.kind for reply in ask(begins, says(GOOD), requests=[ASKED] * 2)] == ["200", "connection"]


def test_a_name_may_have_several_addresses_and_nobody_may_be_there() -> None:
    with talking(says(GOOD)) as port:
        assert asyncio.run(asked_once(Address("localhost", port), 30, ASKED)).kind == "200"
    for host in ("127.0.0.1", "localhost"):
        assert asyncio.run(asked_once(Address(host, 1), 30, ASKED)).kind == "connection"


def test_an_address_of_version_6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert ask(says(GOOD), host="::1")[0].kind == "200"


@pytest.mark.parametrize("tls", [None, ssl.create_default_context()])
def test_a_request_given_up_at_any_moment_leaves_nothing_open(tls: ssl.SSLContext | None) -> None:
    async def play(port: int, turns: int) -> None:
        asking = asyncio.create_task(asked_once(Address("127.0.0.1", port, tls), 30, ASKED))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with socket.create_server(("127.0.0.1", 0)) as silent:
        for turns in range(20):  # of the loop; to connect and to begin a handshake takes fewer
            asyncio.run(play(silent.getsockname()[1], turns))
    gc.collect()  # what was left open would be told now
