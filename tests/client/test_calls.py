"""``neonext_ascend.client``: addresses, and what becomes of a call where a server refuses, is silent, or another's."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.client import Client, RefusedError
from neonext_ascend.client.place import model_path, place_of, without_password
from neonext_ascend.client.subject import subject_of
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError, UsageError
from tests.standins.server import standing
from tests.standins.talking import says, talking
from tests.support.outcome import caller

ROWS = np.zeros((1, 3), np.float32)
Call = Callable[[Client], Any]
CALLS: dict[str, Call] = {
    "/v2": lambda client: client.server(),
    "/v2/repository/index": lambda client: client.models(),
    "/v2/models/m": lambda client: client.infer("m", ROWS),
    "/classify?model=&version=&top=5": lambda client: client.classify(b"picture"),
}


@pytest.mark.parametrize(
    ("url", "base", "rest"),
    [
        ("http://h", "http://h", ("h", 80, "h", "", "", "")),
        ("http://h:8000/", "http://h:8000", ("h", 8000, "h:8000", "", "", "")),
        ("https://h/v2", "https://h", ("h", 443, "h", "", "", "")),
        ("http://h/v2/models/m/", "http://h", ("h", 80, "h", "", "m", "")),
        ("http://h/v2/models/m/infer", "http://h", ("h", 80, "h", "", "m", "")),
        ("http://h/a/b/v2/models/m%20n/versions/2", "http://h/a/b", ("h", 80, "h", "/a/b", "m n", "2")),
        ("https://h/prefix/", "https://h/prefix", ("h", 443, "h", "/prefix", "", "")),
        ("http://[::1]:8000/v2", "http://[::1]:8000", ("::1", 8000, "[::1]:8000", "", "", "")),
        ("http://h/v2/x/v2/models/m", "http://h/v2/x", ("h", 80, "h", "/v2/x", "m", "")),
        ("HTTP://u:p%40q@h:1/x", "http://h:1/x", ("h", 1, "h:1", "/x", "", "")),
    ],
)
def test_an_address_is_taken_apart(url: str, base: str, rest: tuple[object, ...]) -> None:
    place = place_of(url)
    assert place.base == base
    assert (place.host, place.port, place.authority, place.prefix, place.model, place.version) == rest
    assert ("@" in url) == bool(place.headers)


def test_a_user_may_have_no_password_and_a_name_any_sign() -> None:
    assert place_of("http://u@h").headers == {"Authorization": "Basic dTo="}  # "u:"
    assert model_path("m/n", "2 b") == "/v2/models/m%2Fn/versions/2%20b"


NO_ADDRESSES = [
    "h:8000", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://h?x=1", "http://h/#x", "http://h/a b",
    "http://h/v2\r\nX: y", "http://\xe9", "http://h:0", "http://h/v2/models", "http://h/v2/models/", "http://h/v2/health/ready",
    "http://[::1", "http://::1]:80", "http://[x]",
    "http://h/a/v2/models/m/ready", "http://h/v2/models/m/versions/1/ready", "http://h/v2/repository/index",
    "http://a..b", "http://.:1", f"http://{64 * 'a'}.com",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="expected http://HOST:PORT"):
        Client(url)


def test_a_password_is_sent_and_never_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert without_password("http://u:p@h:1/x@y") == "http://h:1/x@y"
    assert without_password("http://u:p/q?r@h/x") == "http://h/x"
    for shown in ("http://h:8000/v2/models/a@b", "http://h/a@b", "http://[::1]:8000/v2/models/a@b"):
        assert without_password(shown) == shown
    # What looks like a port may be a password's beginning.
    for rest in ("/3", "?3", "#3", "/v2/3"):
        given = f"http://u:12{rest}@h/v2/models/a@b"
        assert without_password(given) == "http://h/v2/models/a@b"
        with pytest.raises(UsageError, match=r"%2F for a slash|expected http") as refused:
            Client(given)
        assert "12" not in str(refused.value)
    with standing() as up:
        url = up.url.replace("//", "//user:geheim@")
        with Client(url) as client:
            client.infer("m", ROWS)
        assert up.bodies[0][0]["Authorization"] == "Basic dXNlcjpnZWhlaW0="
        result = caller(capfd, "benchmark")(url, "--seconds", 0.6, "--sittings", 6, "--json")
        assert up.bodies[-1][0]["Authorization"] == "Basic dXNlcjpnZWhlaW0="
        assert up.bodies[-1][0]["Host"] == up.url[7:]
        assert result.json["servers"][0]["name"] == up.url
        with pytest.raises(RefusedError) as caught, Client(url) as client:
            client.metadata("n")
    wrong = caller(capfd, "benchmark")(url.replace("geheim", "ge/heim"), "--threads", 2)
    for said in (result.out, result.err, wrong.err, str(caught.value)):
        assert "heim" not in said


def test_a_path_before_the_protocols() -> None:
    paths: dict[str, tuple[int, Any]] = {
        "/a/v2": (200, {"name": "s"}),
        "/a/v2/health/ready": (200, {}),
        "/a/v2/models/m": (200, {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}),
        "/v2": (404, {}),
    }
    with standing(paths=paths) as up, Client(f"{up.url}/a/") as client:
        assert client.infer("m", ROWS).tolist() == [0.5]
        subject = subject_of(f"{up.url}/a/v2/models/m")
    assert subject.requests[0].startswith(b"POST /a/v2/models/m/infer HTTP/1.1\r\n")


@pytest.mark.parametrize("told", [{"name": "other"}, {"extensions": None}, {"extensions": 1}, {"extensions": ["x"]}])
def test_a_server_without_the_extension_is_sent_json(told: dict[str, object]) -> None:
    with standing(paths={"/v2": (200, told)}) as up, Client(up.url) as client:
        client.infer("m", ROWS)
        client.infer("m", ROWS)
    assert [body for _, body in up.bodies] == [up.bodies[0][1]] * 2
    assert b'"data":[0.0,0.0,0.0]' in up.bodies[0][1]


def answering(monkeypatch: pytest.MonkeyPatch, *outputs: dict[str, object]) -> None:
    """The stand-in's answer from here on."""
    monkeypatch.setattr("tests.standins.server.ANSWER", {"outputs": list(outputs)})


def test_several_outputs_come_by_name_and_never_the_first_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[dict[str, Any]] = [
        {"name": "b", "datatype": "FP16", "shape": [1, 2], "data": [0.5, 2]},
        {"name": "a", "datatype": "INT64", "shape": [2], "data": [3, 4]},
        {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["x"]},
    ]
    with standing() as up, Client(up.url) as client:
        answering(monkeypatch, *outputs)
        found = client.infer_all("m", ROWS)
        assert [(name, str(values.dtype), values.tolist()) for name, values in found.items()] == [
            ("b", "float16", [[0.5, 2]]),
            ("a", "int64", [3, 4]),
            ("text", "object", [[b"x"]]),
        ]
        with pytest.raises(UsageError, match=r"^m: gives b, a, text; infer is for one output, infer_all for several$"):
            client.infer("m", ROWS)
        answering(monkeypatch, outputs[2])
        with pytest.raises(ArtifactError, match="m: its output is text"):
            client.infer("m", ROWS)
        for wrong in ([], [{**outputs[2], "shape": [2]}], [{**outputs[0], "shape": [2, 2]}], [{"name": "b"}]):
            answering(monkeypatch, *wrong)
            for call in (client.infer, client.infer_all):
                with pytest.raises(ToolchainError, match="not one of the Open Inference Protocol"):
                    call("m", ROWS)


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "answer", ["<!doctype html>", "", [1], {"inputs": [], "top": [{}]}, {"inputs": 1}, "null", "[" * 99999]
)
def test_a_server_of_another_kind_is_said(path: str, answer: object) -> None:
    if path == "/v2" and isinstance(answer, dict):
        return  # an object is all that is asked of it
    other = pytest.raises(ToolchainError, match="not one of the Open Inference Protocol")
    with standing(paths={path: (200, answer)}) as up, Client(up.url) as client, other:
        CALLS[path](client)


def test_each_refusal_tells_its_words_and_whether_to_try_again() -> None:
    head = "HTTP/1.1 {} X\r\nContent-Length: {}\r\nRetry-After: {}\r\n\r\n{}"
    for status, retry, again in (
        (400, "", False), (401, "", False), (404, "", False), (405, "", False), (413, "", False), (415, "", False),
        (408, "", True), (429, "3", True), (500, "", False), (502, "x", True), (503, "30", True), (504, "9" * 99, True),
    ):  # fmt: skip
        words = '{"error": "as it\\n has\\r\\nit"}'
        answer = head.format(status, len(words), retry, words).encode()
        refused = pytest.raises(RefusedError, match="as it has it")
        with talking(says(answer)) as port, Client(f"http://127.0.0.1:{port}") as client, refused as caught:
            client.server()
        told = caught.value
        assert (told.status, told.again) == (status, again)
        assert told.retry_after == (int(retry) if retry in ("3", "30") else None)
        assert told.exit_code == (3 if again or status == 500 else 2)


def test_silence_and_absence_are_one_error_of_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout=0.1) as client, pytest.raises(ToolchainError, match=r"no answer within 0\.1 s"):
            client.server()
    for script in (says(b""), says(b"SSH-2.0\r\n"), says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip")):
        none = pytest.raises(ToolchainError, match="no answer")
        with talking(script) as port, Client(f"http://127.0.0.1:{port}") as client, none:
            client.server()
    with Client("http://127.0.0.1:1") as client:
        assert not client.ready()
        with pytest.raises(FileAccessError, match=r"nothing\.png: cannot read the picture"):
            client.classify(tmp_path / "nothing.png")
        with pytest.raises(UsageError, match="are complex64; expected bool"):
            client.infer("m", ROWS.astype(np.complex64))
        ragged: Any = [[1], [1, 2]]
        with pytest.raises(UsageError, match="rows: are no array; expected rows that are all of one shape"):
            client.infer("m", ragged)
    with pytest.raises(FileAccessError, match="cannot be used as a certificate"):
        Client("https://h", certificate=tmp_path / "nothing.pem")
    with pytest.raises(UsageError, match="api_key"):
        Client("http://h", api_key="a\r\nb")
    for timeout in (0, -1.5, float("nan")):
        with pytest.raises(UsageError, match=f"timeout: {timeout}; expected seconds, more than 0"):
            Client("http://h", timeout=timeout)


def test_a_connection_that_was_idle_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(name: str) -> bytes:
        return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{"name": "%b"}' % (len(name) + 12, name.encode())

    def names(idle: float) -> list[str]:
        monkeypatch.setattr("neonext_ascend.client.calls.IDLE", idle)
        scripts = says(answer("first"), answer("again")), says(answer("fresh"))
        with talking(*scripts) as port, Client(f"http://127.0.0.1:{port}") as client:
            found = [client.server()["name"]]
            time.sleep(0.02)
            return [*found, client.server()["name"]]

    assert names(0.01) == ["first", "fresh"]
    assert names(3600.0) == ["first", "again"]


def test_a_closed_client_says_so() -> None:
    with Client("http://127.0.0.1:1") as client:
        pass
    for call in [*CALLS.values(), Client.ready]:
        with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:1: this client is closed; make another"):
            call(client)


def test_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with standing(paths={"http://far.test/v2": (200, {"name": "by proxy"})}) as up:
        monkeypatch.setenv("http_proxy", up.url)
        with Client("http://far.test") as client:
            assert client.server() == {"name": "by proxy"}
        # A benchmark asks the server itself.
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert subject_of(up.url).url == up.url
    monkeypatch.setenv("all_proxy", "socks9://127.0.0.1:1")
    with pytest.raises(NeoNextError, match="cannot be asked"):
        Client("http://far.test")


def test_a_rate_too_low_for_the_sittings_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"rate 0\.5: .* 10 sittings, 1 s long; give --seconds (\d+)") as caught:
        jobs.benchmark_servers(["http://127.0.0.1:1"], rate=0.5)
    seconds = int(str(caught.value).rsplit("--seconds ", 1)[1].split(",")[0])
    with pytest.raises(ToolchainError, match="is a server there"):  # what was advised goes on to ask
        jobs.benchmark_servers(["http://127.0.0.1:1"], rate=0.5, seconds=seconds)


def test_what_is_said_of_a_picture_names_its_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"no picture")
    path = "/classify?model=&version=&top=5"
    for status, words, told in (
        (400, "what was sent: not a picture", f"{file}: not a picture"),
        (413, "the body is too large", f"{file}: the body is too large"),
        (404, "unknown model 'x'", "unknown model 'x'"),
    ):
        with standing(paths={path: (status, {"error": words})}) as up, Client(up.url) as client:
            for picture, want in ((file, told), (str(file), told), (b"no picture", words)):
                with pytest.raises(RefusedError) as caught:
                    client.classify(picture)
                assert (str(caught.value), caught.value.status) == (want, status)


@pytest.mark.parametrize("host", ["xn--a", "xn--", "xn--a.test:8000"])
def test_a_host_that_means_nothing_is_said(host: str) -> None:
    with Client(f"http://{host}") as client:
        for call in [*CALLS.values(), Client.ready]:
            with pytest.raises(UsageError, match=f"^http://{host}: cannot be asked: its host is not a name; expected"):
                call(client)
    with pytest.raises(UsageError, match="its host is not a name"):
        subject_of(f"http://{host}")


def test_of_a_long_refusal_the_beginning_is_told() -> None:
    with standing(paths={"/v2": (404, {"error": "n" * 5000})}) as up, Client(up.url) as client:
        with pytest.raises(RefusedError) as caught:
            client.server()
        assert str(caught.value) == "n" * 500
