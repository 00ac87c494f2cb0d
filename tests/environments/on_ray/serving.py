"""Two replicas on two nodes; one node is killed without grace under load, and no request is left without its answer."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.client import Client
from neonext_ascend.data import sample_pictures
from neonext_ascend.runtimes.registry import open_runner
from tests.environments.on_ray import HELD
from tests.environments.on_ray.cluster import two_nodes

CLIENTS, REQUESTS, KILLED_AFTER = 8, 1200, 300


def main(folder: str) -> None:
    """Raise where a request has no answer, or a wrong one."""
    path = jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
    with two_nodes() as (cluster, other):
        import ray
        from ray import serve

        from neonext_ascend.serving.ray import application

        ray.init(address=cluster.address, log_to_driver=False)
        port = _free_port()
        # Two nodes on one machine would share the port, and clients lose their connections with a node.
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        asked = {"artifacts": [f"nano={path}"], "min_replicas": "2", "max_replicas": "2", "threads": "1"}
        serve.run(application(asked), name="neonext")
        assert ray.available_resources().get("NPU", 0) == 0, "a replica for each NPU"
        _converse(port, path)
        load = Load(port)
        load.wait_for(KILLED_AFTER)
        cluster.remove_node(other, allow_graceful=False)
        load.wait_for(REQUESTS)
        load.end()
        print(f"{HELD}{dict(load.answers)}, the longest {load.longest:.1f} s; {load.after} began after the kill")
        assert load.answers == {"right": REQUESTS}
        assert load.after > REQUESTS // 4
        _converse(port, path)  # by the one that is left
        serve.shutdown()
        ray.shutdown()


class Load:
    """Clients that each ask for one digit after the other; every request is counted once."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.longest, self.after = 0.0, 0
        self._port, self._lock, self._left, self._over = port, threading.Lock(), REQUESTS, False
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int) -> None:
        last = time.monotonic() + 240
        while self.answers.total() < count and time.monotonic() < last:
            time.sleep(0.01)
        self._over = True

    def end(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        pictures = [path.read_bytes() for path in sample_pictures()]
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while True:
            with self._lock:
                if not self._left:
                    break
                self._left -= 1
                digit = self._left % 10
                self.after += self._over
            start = time.monotonic()
            try:
                connection.request("POST", "/classify?top=1", pictures[digit])
                got = connection.getresponse()
                body = got.read()
                right = got.status == 200 and json.loads(body)["top"][0]["label"] == str(digit)
                answer = "right" if right else f"{got.status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                answer = repr(error)
                connection.close()
            with self._lock:
                self.answers[answer] += 1
                self.longest = max(self.longest, time.monotonic() - start)
        connection.close()


def _converse(port: int, path: Path) -> None:
    """The protocol through the door: metadata, tensors, pictures, and words for what is wrong."""
    rows = np.random.RandomState(3).standard_normal((3, 3, 96, 96)).astype(np.float32)
    with open_runner(path) as runner:
        want = runner.infer({"image": rows})["logits"].astype(np.float64)
    with Client(f"http://127.0.0.1:{port}") as client:
        assert client.ready()
        assert client.metadata("nano")["inputs"][0]["shape"] == [-1, 3, 96, 96]
        # Another batch may sum in another order.
        np.testing.assert_allclose(client.infer("nano", rows).astype(np.float64), want, rtol=0, atol=1e-4)
        assert [guess.label for guess in client.classify(sample_pictures()[4], top=1)] == ["4"]
    for method, url, status, words in (
        ("GET", "/v2/models/none", 404, "unknown model"),
        ("GET", "/nothing", 404, "no such path"),
        ("PUT", "/v2", 405, "is not for this path"),
        ("POST", "/classify", 400, "picture 1"),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, url, b"no picture")
        got = connection.getresponse()
        body = got.read().decode()
        connection.close()
        assert (got.status, words in body) == (status, True), (url, got.status, body)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
