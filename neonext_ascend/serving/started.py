"""What is told of a server when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Started:
    """Where a server is to be found, and what it serves.

    Attributes:
        url, grpc: addresses; no gRPC where it was not asked for.
        models: their names.
        doubts: what a user should know, in words.
        pids: of the devices' processes.
        stop, reload: from another thread; as SIGTERM and SIGHUP.
    """

    url: str
    grpc: str | None
    models: tuple[str, ...]
    doubts: tuple[str, ...]
    pids: tuple[int | None, ...]
    stop: Callable[[], None]
    reload: Callable[[], None]
