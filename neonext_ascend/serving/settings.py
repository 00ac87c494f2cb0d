"""How a server behaves: every bound in one place."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.runtimes.registry import Runtime

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user chooses, and what tests choose for him.

    Args:
        host, port, grpc_port: where it listens; no gRPC without its port; 0 takes a free one.
        runtime, devices, threads: of the artifacts; one process for each device, threads of the CPU in each.
        max_delay: seconds that a request waits for others.
        ahead: seconds of work that a device is given ahead: what a busy server takes until it looks again.
        queue: rows that may wait; more are refused with 429.
        timeout: seconds after which a request is answered 504; a client may ask for less.
        max_body: bytes of a request.
        hang: seconds after which a batch is given up, and its process ended; at least 20 times what it takes.
        drain: seconds that requests under way get when the server is asked to end.
        api_key_file, tls_cert, tls_key: who may come in, and how.
        traces: whether spans go to OpenTelemetry's collector.
        command: that starts a device's process.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    runtime: Runtime = "auto"
    devices: tuple[int, ...] = (0,)
    threads: int = 0
    max_delay: float = 0.0
    ahead: float = 0.01
    queue: int = 256
    timeout: float = 30.0
    max_body: int = 64 * MIB
    hang: float = 30.0
    drain: float = 30.0
    api_key_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    traces: bool = False
    # -P: else Python would take a random.py of the folder that it is started in for its own.
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "neonext_ascend.serving.device.child")

    @property
    def address(self) -> str:
        """The host as it stands in an address."""
        return f"[{self.host}]" if ":" in self.host else self.host
