"""Two nodes of a cluster on 127.0.0.1, and an end of every process that came with them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

_PR_SET_CHILD_SUBREAPER = 36  # of prctl: whose parents end become children of this process
# Ray's own settings: no reports, loopback alone, and a lost node seen in two seconds in place of fifteen.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
_SECONDS = 30.0


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """The cluster, and the node that is not its head; each with two CPUs and one ``NPU``."""
    os.environ.update(SETTINGS)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    import ray
    from ray.cluster_utils import Cluster

    node = {"node_ip_address": "127.0.0.1", "num_cpus": 2, "resources": {"NPU": 1}, "object_store_memory": 2**28}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        yield cluster, cluster.add_node(**node)
    finally:
        ray.shutdown()  # of whoever joined it, where that ended with an error
        cluster.shutdown()
        _end_all()


def serving(cluster: Any) -> int:
    """Join it and start Ray Serve; the port of its one proxy, on the head."""
    import ray
    from ray import serve

    ray.init(address=cluster.address, log_to_driver=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
    # Two nodes on one machine would share the port, and clients lose their connections with a node.
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    return port


def _end_all() -> None:
    """Wait for what was started here, and end what does not end."""
    last = time.monotonic() + _SECONDS
    while pids := descendants(os.getpid()):
        if time.monotonic() > last:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """Every process below."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 -- names alone
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123 -- likewise
                children = [int(child) for child in file.read().split()]
            found += [each for child in children for each in (child, *descendants(child))]
    return found
