"""Serve artifacts behind the Open Inference Protocol; loads no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.errors import ArgumentError, ToolchainError
from neonext_ascend.jobs.checking import Device, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.runtimes.registry import Runtime
from neonext_ascend.serving.started import Started
from neonext_ascend.spec import Bounds

_Port = Annotated[int, Bounds(ge=0, le=65535)]
_Seconds = Annotated[float, Bounds(ge=0.01, le=86400)]


@checked
def serve(
    artifacts: Annotated[Sequence[str | Path], Bounds(min_length=1)],
    *,
    host: str = "127.0.0.1",
    port: _Port = 8000,
    grpc_port: _Port | None = None,
    max_delay_ms: Annotated[float, Bounds(ge=0, le=10000)] = 0.0,
    runtime: Runtime = "auto",
    devices: Annotated[Sequence[Device], Bounds(min_length=1)] = (0,),
    threads: Annotated[int, Bounds(ge=0, le=1024)] = 0,
    queue: Annotated[int, Bounds(ge=1, le=2**20)] = 256,
    timeout: _Seconds = 30.0,
    max_body_mib: Annotated[int, Bounds(ge=1, le=2**12)] = 64,
    drain: _Seconds = 30.0,
    api_key_file: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    traces: bool = False,
    watch: Watch = SILENT,
    started: Callable[[Started], Any] = lambda _: None,
) -> None:
    """Serve ``[NAME=]ARTIFACT`` until told to end: by SIGTERM, Ctrl-C, or ``stop`` of what ``started`` is given.

    Args:
        artifacts: ONNX or OM files with their manifests beside them; one name given twice has two versions.
        host, port, grpc_port: where it listens; 0 takes a free port, no gRPC without its port.
        max_delay_ms: a request waits so long for others to leave with it while a device is idle.
        runtime: that opens the artifacts; ``auto`` goes by the file.
        devices: numbers of the NPUs; each has one process.
        threads: of the CPU in each process; 0 lets the runtime choose.
        queue: rows that may wait; more are refused with 429.
        timeout: seconds until a request is given up with 504.
        max_body_mib: size of a request.
        drain: seconds that requests under way get when the server ends.
        api_key_file: one line, which every request must carry.
        tls_cert, tls_key: PEM files; both, or neither.
        traces: send OpenTelemetry's spans to where its variables say; needs the extra ``[traces]``.
        watch: told of what a user should doubt.
        started: called once when it is ready.

    Raises:
        ParityError: an artifact answers otherwise than its manifest says.
        UsageError: an argument is of another kind, or a name that no path can hold.
        FileAccessError: a file cannot be read, or a port cannot be had.
        ToolchainError: what runs an artifact is missing here, or the extra ``[serve]``.
    """
    try:
        from neonext_ascend.serving.logs import libraries_logged, log
        from neonext_ascend.serving.server import serve_until_told
        from neonext_ascend.serving.settings import MIB, Settings

        if grpc_port is not None:
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what its core writes by itself is no line of the log
            import neonext_ascend.serving.web.rpc  # noqa: F401 -- that it can be had
    except ImportError as error:
        raise ToolchainError(
            f"serve needs {error.name}, which is not installed: pip install '.[serve]' in the checkout"
        ) from None
    if len(set(devices)) < len(devices):
        raise ArgumentError("devices", ", ".join(map(str, devices)), "each number once")
    if max_delay_ms >= 1000 * timeout:
        raise ArgumentError("max_delay_ms", f"{max_delay_ms:g}", f"less than the timeout's {1000 * timeout:g} ms")
    settings = Settings(
        host=host,
        port=port,
        grpc_port=grpc_port,
        runtime=runtime,
        devices=tuple(devices),
        threads=threads,
        max_delay=max_delay_ms / 1000,
        queue=queue,
        timeout=timeout,
        max_body=max_body_mib * MIB,
        drain=drain,
        api_key_file=None if api_key_file is None else Path(api_key_file),
        tls_cert=None if tls_cert is None else Path(tls_cert),
        tls_key=None if tls_key is None else Path(tls_key),
        traces=traces,
    )

    def told(ready: Started) -> None:
        for doubt in ready.doubts:
            watch.warn(doubt)
        started(ready)

    with libraries_logged():
        serve_until_told([str(artifact) for artifact in artifacts], settings, log, told)
