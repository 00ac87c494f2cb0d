"""What each worker takes of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.evaluate.panel import MOST_DECODERS
from neonext_ascend.jobs.cluster.joining import joined

_CPUS = 4  # of a worker where no NPU counts them


@dataclass(frozen=True)
class Share:
    """Ray's resources.

    Args:
        workers: how many there is room for.
        cpus: of each; so many pictures it decodes at once, and so many threads it computes with on the CPU.
        npus: of each, 1 or 0.
    """

    workers: int
    cpus: int
    npus: int

    @classmethod
    def of_cluster(cls) -> Self:
        """A worker for each NPU, with its part of that node's CPUs; without NPUs one for every four CPUs.

        Raises:
            ToolchainError: the cluster has neither.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if with_npus := [node for node in nodes if node.get("NPU", 0) >= 1]:
            cpus = min(int(node.get("CPU", 0) // node["NPU"]) for node in with_npus)
            return cls(sum(int(node["NPU"]) for node in with_npus), min(cpus, MOST_DECODERS), 1)
        with_cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not with_cpus:
            raise ToolchainError("--ray: the cluster has no node with an NPU or a CPU; see ray status")
        cpus = min(_CPUS, *with_cpus)
        return cls(sum(count // cpus for count in with_cpus), cpus, 0)

    def options(self) -> dict[str, Any]:
        """As Ray is told."""
        return {"num_cpus": self.cpus, "resources": {"NPU": 1} if self.npus else {}}


@contextlib.contextmanager
def sharing(address: str, device: int) -> Iterator[Share]:
    """Join a cluster for as long as its workers are needed.

    Raises:
        UsageError: it is no address, or a device is named beside it.
        ToolchainError: no cluster answers, or it has nothing that computes.
    """
    if device:
        raise UsageError(f"--device {device}: Ray gives each worker its NPU; leave it out with --ray")
    with joined(address):
        yield Share.of_cluster()
