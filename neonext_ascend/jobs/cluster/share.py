"""What each worker takes of a cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from neonext_ascend.errors import ToolchainError, UsageError, counted
from neonext_ascend.evaluate.panel import MOST_DECODERS
from neonext_ascend.jobs.cluster.joining import joined
from neonext_ascend.jobs.watching import SILENT, Watch

_CPUS = 4  # of a worker where no NPU counts them
_PATIENCE = 10.0  # seconds; most workers that have room are up before


@dataclass(frozen=True)
class Share:
    """Ray's resources.

    Args:
        workers: how many there is room for.
        cpus: of each; so many pictures it decodes at once, and so many threads it computes with on the CPU.
        npus: of each, 1 or 0.
        watch: told of a long wait for one.
    """

    workers: int
    cpus: int
    npus: int
    watch: Watch = field(default=SILENT, compare=False)

    @classmethod
    def of_cluster(cls, watch: Watch = SILENT) -> Self:
        """A worker for each NPU, with its part of that node's CPUs; without NPUs one for every four CPUs.

        Raises:
            ToolchainError: the cluster has neither.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if with_npus := [node for node in nodes if node.get("NPU", 0) >= 1]:
            cpus = min(int(node.get("CPU", 0) // node["NPU"]) for node in with_npus)
            return cls(sum(int(node["NPU"]) for node in with_npus), min(cpus, MOST_DECODERS), 1, watch)
        with_cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not with_cpus:
            raise ToolchainError("--ray: the cluster has no node with an NPU or a CPU; see ray status")
        cpus = min(_CPUS, *with_cpus)
        return cls(sum(count // cpus for count in with_cpus), cpus, 0, watch)

    def options(self) -> dict[str, Any]:
        """As Ray is told."""
        return {"num_cpus": self.cpus, "resources": {"NPU": 1} if self.npus else {}}

    @contextlib.contextmanager
    def waiting(self) -> Iterator[Callable[[], None]]:
        """A long wait for the first worker is told, once; what this gives is to be called when that is up."""
        up = threading.Event()

        def tell() -> None:
            if not up.wait(_PATIENCE):
                with contextlib.suppress(Exception):  # Ray's many; whoever waits is told of what is lost
                    self.watch.note(self._waited_for())

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield up.set
        finally:
            up.set()
            thread.join()

    def _waited_for(self) -> str:
        import ray

        free, whole = ray.available_resources(), ray.cluster_resources()
        each = [(count, kind) for count, kind in ((self.npus, "NPU"), (self.cpus, "CPU")) if count]
        takes = " and ".join(counted(count, kind) for count, kind in each)
        left = " and ".join(f"{free.get(kind, 0):g} of {counted(int(whole.get(kind, 0)), kind)}" for _, kind in each)
        return (
            f"--ray: no worker is up after {_PATIENCE:g} s: each takes {takes}, and free are {left}; "
            "this goes on by itself once there is room"
        )


@contextlib.contextmanager
def sharing(address: str, device: int, watch: Watch = SILENT) -> Iterator[Share]:
    """Join a cluster for as long as its workers are needed.

    Raises:
        UsageError: it is no address, or a device is named beside it.
        ToolchainError: no cluster answers, or it has nothing that computes.
    """
    if device:
        raise UsageError(f"--device {device}: Ray gives each worker its NPU; leave it out with --ray")
    with joined(address):
        yield Share.of_cluster(watch)
