"""``jobs.benchmark_servers`` and its command: what is counted, from when, and what is refused; a server that obeys."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.client.load import _Turn, measure_servers
from neonext_ascend.client.subject import subject_of
from neonext_ascend.client.wire import Address, asked_once
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.reporting.words import WIDTH
from neonext_ascend.timing import load
from neonext_ascend.timing.load import Load, LoadSitting, warm_up_seconds
from tests.standins.server import TENSOR, Standing, stalls, standing
from tests.support.forgetting import forget
from tests.support.outcome import Call, caller

# As few sittings as there can be, each longer than a busy machine stands still.
QUICK = ("--seconds", "1.8", "--sittings", "6")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    return caller(capfd, "benchmark")


@pytest.fixture
def never_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is meant to be sent is sent, however long a busy machine stands still."""
    monkeypatch.setattr(load, "_LATEST", 30.0)


@pytest.mark.usefixtures("never_too_late")
def test_latency_counts_from_the_moment_that_was_meant() -> None:
    # One in 20 takes 0.16 s, in which 16 others are meant to be sent; from when they are sent, 19 of 20 are quick. Half
    # of all are 50 ms late or more; some at a sitting's edges are not.
    with standing(infer=stalls(20, 0.16)) as up:
        result = jobs.benchmark_servers([up.url], rate=100, arrivals="fixed", clients=1, seconds=1.2, sittings=6)
    (entry,) = result.to_json()["servers"]
    assert entry["latency_ms"]["p50"] > 10
    assert entry["latency_ms"]["p90"] > 60
    assert entry["sent_late_ms"]["p99"] > 60
    assert entry["runs"] == 120


def test_a_closed_loop_waits_and_counts_what_came(call: Call) -> None:
    with standing(infer=lambda n: {3: 0, 7: 429}.get(n % 10, 200)) as up:
        result = call(up.url, "--clients", 3, *QUICK, "--json")
    assert result.code == 0, result.err
    data = result.json
    assert data["settings"] == {
        "clients": 3,
        "rate": None,
        "arrivals": None,
        "seed": None,
        "batch_size": 1,
        "pictures": None,
        "encoding": "auto",
        "timeout": 30.0,
        "seconds": 1.8,
        "sittings": 6,
        "confidence": 0.95,
    }
    (entry,) = data["servers"]
    assert entry["server"] == "stand-in 9, m: x FP32[1, 3] in binary"
    assert set(entry["errors"]) == {"429", "connection"}
    count = entry["runs"] + sum(entry["errors"].values())
    assert entry["errors"]["429"] == pytest.approx(count / 10, abs=6)  # what was under way at each sitting's edges
    figures = entry["latency_ms"]
    assert 0 < figures["min"] <= figures["p50"] <= figures["p90"] <= figures["p99"]
    for name, figure in (("p50_ms", figures["p50"]), ("answers_per_second", entry["answers_per_second"])):
        interval = entry["intervals"][name]
        assert interval["low"] <= entry.get("median_of_sittings", figure) or interval["low"] <= figure
        assert 0 < interval["low"] <= interval["high"]
    assert entry["images_per_second"] == entry["answers_per_second"]
    ends = entry["intervals"]["answers_per_second"].values()
    for figure in (entry["answers_per_second"], entry["asked_per_second"], entry["median_of_sittings"], *ends):
        assert figure == round(figure, 6)
    header, body = up.bodies[0]
    length = int(header["Inference-Header-Content-Length"])
    (asked,) = json.loads(body[:length])["inputs"]
    assert asked["parameters"] == {"binary_data_size": 12}
    assert len(body) == length + 12


@pytest.mark.usefixtures("never_too_late")
def test_words_tell_rate_errors_and_the_difference(call: Call) -> None:
    with standing() as up, standing(infer=lambda n: {3: 400, 4: 504}.get(n % 5, 200)) as other:
        result = call(
            up.url,
            f"{other.url}/v2/models/m",
            "--rate",
            100,
            "--clients",
            8,
            "--encoding",
            "json",
            "--seconds",
            2.4,
            *QUICK[2:],
        )
    assert result.code == 0, result.err
    assert "open loop, 100 requests a second (poisson), 8 clients; 6 sittings" in result.out
    assert "A: " in result.out
    assert "errors: none" in result.out
    told = result.out.replace("\n   ", " ")
    assert re.search(r"errors: .*HTTP 504 \(deadline\): \d+", told)
    # What is wrong with the requests themselves is told in the server's words, once.
    (count,) = re.findall(r"HTTP 400: (\d+)", told)
    (warned,) = [line for line in result.err.splitlines() if "such as" in line]
    assert warned == f"warning: {other.url}/v2/models/m: {count} answers of HTTP 400, such as: as the test has it"
    assert "\nlatency, as the median of the sittings' ratios of p50\nB / A: " in result.out
    # One name and one rounding of one figure.
    speed = re.search(r"^A: (\S+) answers/s", result.out, re.M)
    assert speed
    assert re.search(rf"p50 .* answers/s\nA .* {re.escape(speed[1])}$", result.out, re.M)
    assert "images" not in result.out
    assert max(map(len, result.out.splitlines())) <= WIDTH
    assert b'"data":[' in up.bodies[0][1]


def test_pictures_go_as_their_bytes() -> None:
    paths = {"/v2/models/m-pictures": (200, {"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [-1]}]})}
    with standing(paths=paths) as up:
        subject = subject_of(up.url, pictures=sample_pictures()[0].parent, rows=2)
        again = subject_of(up.url, pictures=sample_pictures()[0].parent, encoding="json")
    assert (subject.rows, subject.dtype) == (2, "BYTES")
    assert subject.requests[0].endswith(sample_pictures()[1].read_bytes())
    assert len(again.requests) == 2 * len(subject.requests)
    assert base64.b64encode(sample_pictures()[0].read_bytes()) in again.requests[0]
    with (
        standing(paths=paths, infer=lambda _: 400) as up,
        pytest.raises(UsageError, match=r"400: as the test has it; it was sent .*digit_0\.png$"),
    ):
        subject_of(up.url, pictures=sample_pictures()[0].parent)


def test_a_folder_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Counted(bytes):
        def __len__(self) -> int:
            measured.append(self)
            return bytes.__len__(self)

    measured: list[bytes] = []
    for number in range(60):
        (tmp_path / f"{number:02}.png").write_bytes(b"x")
    monkeypatch.setattr(Path, "read_bytes", lambda path: Counted(path.name.encode()))
    paths = {"/v2/models/m-pictures": (200, {"inputs": [{"name": "picture", "datatype": "BYTES", "shape": [-1]}]})}
    with standing(paths=paths) as up:
        subject = subject_of(up.url, pictures=tmp_path)
    assert [request[-6:] for request in subject.requests] == [f"{number:02}.png".encode() for number in range(60)]
    assert len(measured) <= 4 * 60


def test_the_moments_of_an_open_loop() -> None:
    assert Load(rate=10, arrivals="fixed").moments(1.0, 3) == pytest.approx([n / 10 for n in range(-2, 10)])
    for rate, span, count in ((50, 0.2, 10), (100, 0.07, 7), (3, 0.5, 2), (49, 0.2, 10), (1e6, 0.3, 300_000)):
        assert Load(rate=rate, arrivals="fixed").fewest(span, 1) == count, (rate, span)
    some, again, others = (Load(rate=500, seed=4).moments(2.0, sitting) for sitting in (0, 0, 1))
    assert some == again != others
    gaps = np.diff(some)
    # 1,200 expected with warming up: five standard deviations of a Poisson count; its gaps' deviation is their mean.
    assert abs(len(some) - 1200) < 5 * 1200**0.5
    assert -0.4 <= some[0] < some[-1] < 2
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.2)
    assert [warm_up_seconds(s) for s in (0.01, 1, 100)] == [0.05, 0.2, 2.0]


def test_what_cannot_be_sent_in_time_is_counted_and_told(call: Call) -> None:
    # A request takes 20 ms at least, so that of 2,000 a second most are not sent; clients stop 0.2 s after a sitting.
    given = ("--rate", 2000, "--arrivals", "fixed", "--clients", 2, "--seconds", 0.6, *QUICK[2:], "--json")
    with standing(infer=stalls(1, 0.02)) as up:
        result = call(up.url, *given)
    # In 0.35 s with those that warm up, and some from before.
    assert len(up.bodies) < 6 * (0.35 / 0.02 + 10)
    assert result.code == 0, result.err
    (entry,) = result.json["servers"]
    assert entry["runs"] + entry["errors"]["not sent"] == 6 * 200
    assert entry["asked_per_second"] == 2000
    assert entry["keeps_up"] is False
    missing = f"{entry['errors']['not sent']:,} requests could not be sent in time"
    assert f"of 2000 requests a second, and {missing}; it or this side does not keep up" in result.err


def test_a_machine_that_stood_still_leaves_no_sitting_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "latest", lambda *_: -1.0)  # all that counts comes too late
    with standing() as up:
        ((sitting,),) = measure_servers([subject_of(up.url)], Load(rate=100, arrivals="fixed"), 0.1, 1)
    assert (len(sitting.latencies), sitting.errors) == (1, {load.NOT_SENT: 9})


@pytest.mark.usefixtures("never_too_late")
def test_a_server_that_is_lost_or_silent_is_told(call: Call) -> None:
    over = threading.Event()

    def ends(number: int) -> int:
        if number == 500:
            over.set()
        return (503 if number % 2 else 0) if over.is_set() else 200

    with standing(infer=ends) as up:
        result = call(up.url, "--rate", 500, "--arrivals", "fixed", "--clients", 4, *QUICK)
    assert (result.code, result.out) == (3, "")
    told, error = result.err.splitlines()
    found = re.fullmatch(
        rf"note: {up.url}: until then (\d) of 6 sittings: (\d+) answers/s, p50 \S+ ms, p99 \S+ ms", told
    )
    assert found
    number = int(found[1])
    assert 1 <= number <= 5
    why = rf"no good answer in sitting {number + 1} of 6, 0\.3 s long \((.*)\); see its log"
    kinds = re.search(why, error)
    assert kinds
    assert set(re.sub(r"\d+(?=,|$)", "", kinds[1]).split(", ")) == {"HTTP 503 (not now): ", "connection lost: "}
    # It ended there, not at the sixth.
    assert len(up.bodies) < 500 + 2 * 180 + 20
    with standing(infer=lambda n: 0 if n else 200) as up:
        assert call(up.url, *QUICK).err.startswith(
            f"error: {up.url}: no good answer in sitting 1 of 6, 0.3 s long (conn"
        )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("127.0.0.1", silent.getsockname()[1])
        assert asyncio.run(asked_once(address, 0.05, b"GET / HTTP/1.1\r\n\r\n")).kind == "timeout"


def test_an_interrupt_tells_the_whole_sittings(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play, turns = _Turn.play, 0

    async def ended(turn: _Turn) -> LoadSitting:
        nonlocal turns
        turns += 1
        if turns == 6:  # one of the two has had its third
            raise KeyboardInterrupt
        return await play(turn)

    monkeypatch.setattr(_Turn, "play", ended)
    with standing() as up, standing() as other:
        result = call(up.url, other.url, "--plot", tmp_path / "p.svg", *QUICK[2:], "--seconds", 0.6)
    assert (result.code, result.out) == (130, "")
    *told, error = filter(None, result.err.splitlines())  # click has sent a line of its own
    words = r"until then (\d) of 6 sittings: \d+ answers/s, p50 \S+ ms, p99 \S+ ms"
    found = [re.fullmatch(f"note: {url}: {words}", line) for url, line in zip((up.url, other.url), told, strict=True)]
    assert sorted(one[1] for one in found if one) == ["2", "3"]
    assert error == "error: interrupted; nothing was left half-written"
    assert list(tmp_path.iterdir()) == []


def tls(standing: Standing) -> str:
    return standing.url.replace("http:", "https:")


Arguments = Callable[[Standing], list[object]]
FREE = {"inputs": [{**TENSOR, "shape": [-1, -1]}]}
REFUSED: list[tuple[str, dict[str, Any], Arguments, int, str]] = [
    ("not ready", {"/v2/health/ready": (503, {})}, lambda s: [s.url], 3, "the server is not ready; ask http"),
    ("another model", {}, lambda s: [f"{s.url}/v2/models/n"], 2, "HTTP status 404: unknown /v2/models/n"),
    (
        "several",
        {"/v2/repository/index": (200, [{"name": "a"}, {"name": "b"}])},
        lambda s: [s.url],
        2,
        "serves a, b; name",
    ),
    ("no list", {"/v2/repository/index": (404, {})}, lambda s: [s.url], 2, "does not list its models; name one"),
    ("a free size", {"/v2/models/m": (200, FREE)}, lambda s: [s.url], 2, "takes x FP32[-1, -1]; only the first"),
    ("no pictures", {}, lambda s: [f"{s.url}/v2/models/m-pictures", "--pictures", "."], 2, "404: unknown"),
    (
        "other words",
        {"/v2/models/m": (200, [])},
        lambda s: [s.url],
        3,
        "/m: its answer is not one of the Open Inference",
    ),
    ("no inputs", {"/v2/models/m": (200, {})}, lambda s: [s.url], 3, ": its answer is not one of the Open Inference"),
    ("a page", {"/v2": (200, "<!doctype html>")}, lambda s: [s.url], 3, "Protocol; is another server there?"),
    ("elsewhere", {"/v2": (301, "")}, lambda s: [s.url], 2, "HTTP status 301: Moved Permanently for http"),
    ("a list of others", {"/v2/repository/index": (200, ["m"])}, lambda s: [s.url], 3, "/index: its answer is not"),
    ("a password", {}, lambda s: [s.url.replace("//", "//u:geheim@") + "/v2/models/n"], 2, "error: http://127."),
    ("no JSON", {"/v2": (200, "hello")}, lambda s: [s.url], 3, "/v2: its answer is not one of the Open Inference Pr"),
    ("a path", {}, lambda s: [f"{s.url}/some/where"], 2, "/some/where/v2; expected http://127.0.0.1:"),
    ("a query", {}, lambda s: [f"{s.url}/v2?x=1"], 2, "expected http://HOST:PORT or http"),
    ("no host", {}, lambda s: ["http://:80"], 2, "expected http://HOST:PORT or http"),
    ("a port", {}, lambda s: ["http://127.0.0.1:x"], 2, "expected http://HOST:PORT"),
    ("a file's option", {}, lambda s: [s.url, "--threads", 2], 2, "--threads is for files and models; http"),
    (
        "a server's option",
        {},
        lambda s: ["neonext_nano", "--rate", 2],
        2,
        "--rate is for servers; neonext_nano is none",
    ),
    (
        "a file beside",
        {},
        lambda s: [s.url, "neonext_nano"],
        2,
        "is a server, neonext_nano is not; time them one by one",
    ),
    ("no clients", {}, lambda s: [s.url, "--clients", 0], 2, "--clients 0: expected a whole number from 1"),
    ("no rate", {}, lambda s: [s.url, "--rate", "nan"], 2, "--rate nan: expected a number"),
    ("too many", {}, lambda s: [s.url] * 27, 2, "27 servers; at most 26"),
    ("no key", {}, lambda s: [s.url, "--api-key-file", "/nothing"], 5, "/nothing: cannot read the API key"),
    ("no certificate", {}, lambda s: [tls(s), "--certificate", "/nothing"], 5, "/nothing: cannot be used as a cert"),
    ("no https", {}, lambda s: [s.url, "--certificate", "/nothing"], 2, "--certificate is for https; http://127.0.0.1"),
    ("no TLS", {}, lambda s: [tls(s)], 3, ": speaks no TLS; take http://"),
    ("arrivals", {}, lambda s: [s.url, "--arrivals", "fixed"], 2, "--arrivals is of an open loop; give --rate"),
    ("a seed", {}, lambda s: [s.url, "--seed", 0], 2, "--seed is of an open loop; give --rate with it"),
    (
        "a seed of nothing",
        {},
        lambda s: [s.url, "--rate", 9, "--arrivals", "fixed", "--seed", 1],
        2,
        "--seed is of arrivals at random; leave it out",
    ),
    ("no scheme", {}, lambda s: [s.url[7:]], 2, "is a server meant? write http://127.0.0.1:"),
    ("a host's name", {}, lambda s: ["localhost:8000/v2"], 2, "is a server meant? write http://localhost:8000/v2"),
    ("a password and no scheme", {}, lambda s: ["u:geheim@h:8"], 2, "error: h:8: is a server meant? write http://h:8"),
    ("an IPv6 address", {}, lambda s: ["[::1]:8000"], 2, "[::1]:8000: is a server meant? write http://[::1]:8000"),
    (
        "another scheme",
        {},
        lambda s: ["ftp://u:geheim@h:8/x"],
        2,
        "error: h:8/x: is a server meant? write http://h:8/x",
    ),
]


@pytest.mark.parametrize(("paths", "arguments", "code", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_mistake_gets_one_clear_line(
    call: Call, paths: dict[str, Any], arguments: Arguments, code: int, words: str
) -> None:
    with standing(paths=paths) as up:
        result = call(*arguments(up), *QUICK)
    assert words in result.err
    assert (result.code, result.out) == (code, "")
    assert [line[:7] for line in result.err.splitlines()] == ["error: "]


def test_what_a_server_refuses_is_said_in_its_words(call: Call) -> None:
    for status, code in ((400, 2), (401, 2), (429, 3), (503, 3)):
        with standing(infer=lambda _, status=status: status) as up:
            result = call(up.url, "--batch-size", 3, *QUICK)
        assert result.code == code
        assert f"HTTP status {status}: as the test has it\n" in result.err
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert call(url, "--timeout", 0.1).code == 3
    refused = call(url)
    assert (refused.code, "is a server there?" in refused.err) == (3, True)


def test_a_port_of_grpc_is_told_from_nobody(call: Call) -> None:
    settings = bytes(3) + b"\x04" + bytes(5)  # the frame with which HTTP/2 begins

    def answer() -> None:
        with listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(settings)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        thread = threading.Thread(target=answer)
        thread.start()
        result = call(f"http://127.0.0.1:{listening.getsockname()[1]}", *QUICK)
        thread.join()
    assert result.code == 3
    assert ": answers, but not in HTTP/1.1; is it a port of another protocol, such as gRPC's?" in result.err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget(monkeypatch, "neonext_ascend.client")
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(ToolchainError, match=r"needs httptools.*pip install '\.\[serve\]'"):
        jobs.benchmark_servers(["http://127.0.0.1:1"])
