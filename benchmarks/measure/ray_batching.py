"""Ray's own batching against ours in a replica, on one network; by hand, where Ray is installed.

    python -m benchmarks.measure.ray_batching [ARTIFACT] [--rounds 3] [--requests 2000] [--clients 64] [--threads 1]

Both deployments take the same requests of the protocol from the same handle and run the same file. ``@serve.batch``
computes in the replica itself and takes the batch that the server would; ours sends rows to the device's process and
takes the size that was measured to pay. Rounds in turns; printed are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.protocol.rest import HEADER, answer_body, parse_request
from neonext_ascend.serving.protocol.tensors import Tensor
from neonext_ascend.serving.ray.replica import Answered, Asked, Replica
from neonext_ascend.serving.settings import Settings

BATCH = 16


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", nargs="?", type=Path, help="with a free batch; neonext_nano where there is none")
    for name, default in (("rounds", 3), ("requests", 2000), ("clients", 64), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    import ray
    from ray import serve

    with tempfile.TemporaryDirectory() as folder:
        path = asked.artifact or jobs.export("neonext_nano", batch_size="dynamic", output=folder).onnx.path
        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
        options = {
            "max_ongoing_requests": 2 * asked.clients,
            "ray_actor_options": {"num_cpus": 1},
            "logging_config": {"enable_access_log": False},
        }
        settings = Settings(threads=asked.threads)
        made = {
            "ours": serve.deployment(Replica).options(**options).bind([f"net={path}"], settings),
            "ray": serve.deployment(_by_ray()).options(**options).bind(str(path), asked.threads),
        }
        handles = {name: serve.run(app, name=name, route_prefix=None) for name, app in made.items()}
        with open_runner(path) as runner:
            request = _request(runner.inputs[0].shape[1:])
        rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in handles}
        for _ in range(asked.rounds + 1):  # the first warms up
            for name, handle in handles.items():
                rounds[name].append(asyncio.run(_load(handle, request, asked.requests, asked.clients)))
        names = ("requests_per_second", "p50_ms", "p99_ms")
        found = {
            name: {
                part: round(median(values), 2) for part, values in zip(names, zip(*each[1:], strict=True), strict=True)
            }
            for name, each in rounds.items()
        }
        print(json.dumps(found, indent=1))
        serve.shutdown()
        ray.shutdown()


def _by_ray() -> type:
    from ray import serve

    class ByRay:
        def __init__(self, path: str, threads: int) -> None:
            self.runner = open_runner(Path(path), threads=threads)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator] # Ray is not in the development environment
        async def answer(self, requests: list[Asked]) -> list[Answered]:
            heads = [dict(one.headers)[HEADER.lower().encode()].decode() for one in requests]
            parsed = [await parse_request(one.body, head) for one, head in zip(requests, heads, strict=True)]
            rows = np.concatenate([np.asarray(one.inputs[0].data) for one in parsed])
            logits = (await asyncio.to_thread(self.runner.infer, {"image": rows}))["logits"]
            bodies = [
                answer_body(one, "net", "1", [Tensor.of("logits", row[None])], {})
                for one, row in zip(parsed, logits, strict=True)
            ]
            return [Answered(200, [], body) for body, _ in bodies]

    return ByRay


def _request(shape: Sequence[Any]) -> Asked:
    row = np.random.RandomState(1).standard_normal((1, *(int(n) for n in shape))).astype(np.float32)
    entry = {"name": "image", "datatype": "FP32", "shape": row.shape, "parameters": {"binary_data_size": row.nbytes}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    headers = [(HEADER.lower().encode(), str(len(head)).encode())]
    return Asked("POST", "/v2/models/net/infer", b"", headers, head + row.tobytes())


async def _load(handle: Any, request: Asked, count: int, clients: int) -> tuple[float, float, float]:
    """Requests a second, and the middle and 99th percentile of their milliseconds."""
    left, seconds = [count], []

    async def client() -> None:
        while left[0]:
            left[0] -= 1
            start = time.perf_counter()
            answered = await handle.answer.remote(request)
            seconds.append(time.perf_counter() - start)
            assert answered.status == 200, answered

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    whole = time.perf_counter() - start
    middle, late = 1e3 * np.percentile(seconds, (50, 99))
    return count / whole, float(middle), float(late)


if __name__ == "__main__":
    main()
