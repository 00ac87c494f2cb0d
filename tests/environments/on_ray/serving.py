"""Two replicas on two nodes; one node is killed without grace under load, and no request is left without its answer."""

from __future__ import annotations

import http.client
from pathlib import Path

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.client import Client
from neonext_ascend.data import sample_pictures
from neonext_ascend.runtimes.registry import open_runner
from tests.environments.on_ray import HELD
from tests.environments.on_ray.cluster import serving, two_nodes
from tests.environments.on_ray.load import Load

CLIENTS, REQUESTS, KILLED_AFTER = 8, 1200, 300


def main(folder: str) -> None:
    """Raise where a request has no answer, or a wrong one."""
    path = jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
    with two_nodes() as (cluster, other):
        import ray
        from ray import serve

        from neonext_ascend.serving.ray import application

        port = serving(cluster)
        asked = {"artifacts": [f"nano={path}"], "min_replicas": "2", "max_replicas": "2", "threads": "1"}
        serve.run(application(asked), name="neonext")
        assert ray.available_resources().get("NPU", 0) == 0, "a replica for each NPU"
        _converse(port, path)
        load = Load(port, CLIENTS)
        load.wait_for(KILLED_AFTER)
        cluster.remove_node(other, allow_graceful=False)
        known = load.begun
        load.wait_for(REQUESTS)
        load.end()
        after = load.begun - known
        print(f"{HELD}{dict(load.answers)}, the longest {load.longest:.1f} s; {after} began after the kill")
        assert load.answers == {"right": load.begun}
        assert after > REQUESTS // 4
        _converse(port, path)  # by the one that is left
        serve.shutdown()


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
        ("POST", "/classify", 400, "what was sent: not a picture"),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, url, b"no picture")
        got = connection.getresponse()
        body = got.read().decode()
        connection.close()
        assert (got.status, words in body) == (status, True), (url, got.status, body)
