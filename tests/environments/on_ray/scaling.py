"""One replica becomes two under load and one again without it; replicas and device processes end; no answer is lost."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from tests.environments.on_ray import HELD
from tests.environments.on_ray.cluster import descendants, serving, two_nodes
from tests.environments.on_ray.load import Load
from tests.serving.test_server import changed, transposed

MANY, KEY, MIB = 12, "of-no-importance", 2**20
_SECONDS = 120.0


def main(folder: str) -> None:
    """Raise where a request has no answer, or a process is left behind."""
    path = jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
    with two_nodes() as (cluster, _):
        from ray import serve

        from neonext_ascend.serving.ray import application

        port = serving(cluster)
        asked = {"artifacts": f"nano={path}", "threads": "1", "max_replicas": "2", "target_ongoing_requests": "3"}
        serve.run(application({**asked, "upscale_delay_s": "1", "downscale_delay_s": "1"}), name="neonext")
        _scales(port)
        _is_killed(port)
        serve.delete("neonext")
        _until("no device process is left", lambda: not _devices())
        key = Path(folder, "key")
        key.write_text(KEY)
        asked = {"artifacts": f"nano={path}", "npu": "false", "cpus": "0", "max_body_mib": "1"}
        slow = {**asked, "max_delay_ms": "4000", "timeout": "5", "api_key_file": str(key)}
        serve.run(application(slow), name="slow", route_prefix="/slow")
        _turns_strangers_away(port)
        _forgets_who_goes(port)
        serve.delete("slow")
        (Path(folder) / "wrong").mkdir()
        _starts_nothing_wrong(port, Path(folder, "none.onnx"), changed(path, Path(folder, "wrong"), transposed))
        serve.shutdown()
        _until("no device process is left", lambda: not _devices())


def _scales(port: int) -> None:
    start, loads = time.monotonic(), [Load(port, MANY)]
    _until("two replicas take requests", lambda: len(_counts(port)) == 2 and min(_counts(port).values()) > 20)
    up = time.monotonic() - start
    loads[0].end()
    start, load = time.monotonic(), Load(port, 1)
    loads.append(load)
    _until("one replica is left", lambda: _running("neonext") == 1 and len(_devices()) == 1)
    load.wait_for(load.answers.total() + 50)
    load.end()
    told = " and ".join(str(dict(each.answers)) for each in loads)
    print(f"{HELD}two replicas after {up:.0f} s, one after {time.monotonic() - start:.0f} s more: {told}")
    for each in loads:
        assert each.answers == {"right": each.begun}


def _is_killed(port: int) -> None:
    """A replica is killed while its device hangs: another comes, and nothing of it is left."""
    ((replica, device),) = _devices()
    load = Load(port, 4)
    load.wait_for(50)
    os.kill(device, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(replica, signal.SIGKILL)
    _until("its device process ends with it", lambda: all(pid != device for _, pid in _devices()))
    load.wait_for(load.answers.total() + 200)
    load.end()
    print(f"{HELD}a replica killed while its device hung: {dict(load.answers)}, the longest {load.longest:.1f} s")
    assert load.answers == {"right": load.begun}


def _turns_strangers_away(port: int) -> None:
    """Whoever has no key is told before his body is read; probes have none."""
    with socket.create_connection(("127.0.0.1", port), 10) as stranger:
        stranger.sendall(b"POST /slow/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
        assert b" 401 " in stranger.recv(200)
    assert _asked(port, "GET", "/slow/v2/health/ready")[0] == 200
    known = {"Authorization": f"Bearer {KEY}"}
    for method, path, body, status in (
        ("GET", "/", b"", 200),
        ("GET", "/v2", b"", 200),
        ("HEAD", "/v2", b"", 200),
        ("PUT", "/v2", b"", 405),
        ("PROPFIND", "/nothing", b"", 404),
        ("POST", "/v2/models/nano/infer", b"x" * MIB, 400),
        ("POST", "/v2/models/nano/infer", b"x" * (MIB + 1), 413),
    ):
        assert _asked(port, method, f"/slow{path}", body, known)[0] == status, (method, path)


def _forgets_who_goes(port: int) -> None:
    """The replica no longer computes what nobody waits for."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/slow/classify", sample_pictures()[3].read_bytes(), {"X-API-Key": KEY})
    time.sleep(1)
    connection.close()
    gone = 'neonext_requests_total{model="nano",status="499",version="1"} 1.0'
    _until("who has gone is counted", lambda: gone in _asked(port, "GET", "/slow/metrics", b"", {"X-API-Key": KEY})[1])


def _starts_nothing_wrong(port: int, missing: Path, wrong: Path) -> None:
    """Few tries, a line of ours at the end of Ray's page, and requests answered 503 in time."""
    from ray import serve

    from neonext_ascend.serving.ray import application

    for artifact, expected in ((missing, "cannot read the artifact"), (wrong, "answers otherwise than when it was")):
        words = "it has started"
        try:
            serve.run(application({"artifacts": str(artifact), "timeout": "2"}), name="wrong")
        except RuntimeError:
            words = serve.status().applications["wrong"].deployments["Replica"].message.strip().splitlines()[-1]
        print(f"{HELD}a replica that cannot start: {words}")
        assert str(artifact) in words
        assert expected in words
        for method, path in (("GET", "/v2/health/ready"), ("POST", "/classify")):
            start = time.monotonic()
            status, body = _asked(port, method, path)
            assert (status, "no replica" in body, time.monotonic() - start < 30) == (503, True, True), (path, body)
        serve.delete("wrong")


def _asked(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        got = connection.getresponse()
        return got.status, got.read().decode()
    finally:
        connection.close()


def _counts(port: int) -> dict[str, float]:
    """Of answers, by replica: each has counters of its own, told apart by when they began."""
    found = {}
    for _ in range(8):
        page = _asked(port, "GET", "/metrics")[1]
        began, count = (
            re.search(f"^neonext_requests_{kind}{{model=.nano.*}} (.*)$", page, re.M) for kind in ("created", "total")
        )
        if began is not None and count is not None:
            found[began[1]] = float(count[1])
    return found


def _running(name: str) -> int:
    from ray import serve

    states = serve.status().applications[name].deployments["Replica"].replica_states
    return sum(states.values())


def _devices() -> list[tuple[int, int]]:
    """Of each device's process its parent and itself."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            line, stat = Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if b"neonext_ascend.serving.device.child" in line:
            found.append((int(stat.rpartition(")")[2].split()[1]), pid))
    return found


def _until(what: str, holds: Callable[[], bool]) -> None:
    last = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < last, f"{what}: not within {_SECONDS:g} s"
        time.sleep(0.2)
