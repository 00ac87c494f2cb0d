"""``neonext-ascend serve``."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.cli.options import PATH, runtime_option
from neonext_ascend.cli.terminal import note, say, watching
from neonext_ascend.errors import FileAccessError

if TYPE_CHECKING:
    from neonext_ascend.serving.started import Started

_PORT = click.IntRange(0, 65535)


@click.command(
    "serve",
    epilog="Exit status: 0 ended by SIGTERM or Ctrl-C, all under way answered; 1 an artifact answers otherwise than "
    "its manifest says; 2 wrong usage, or what cannot be served; 3 what runs it is missing; 5 a file cannot be "
    "read, or a port cannot be had.",
)
@click.argument("artifacts", nargs=-1, required=True, metavar="[NAME=]ARTIFACT...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=_PORT, default=8000, show_default=True, help="Of REST; 0 takes a free one.")
@click.option("--grpc-port", type=_PORT, help="Of gRPC; without it there is none.")
@click.option(
    "--max-delay-ms", type=float, default=0.0, show_default=True, help="An idle device waits so long for more."
)
@click.option("--queue", type=int, default=256, show_default=True, help="Rows that may wait; more are refused (429).")
@click.option(
    "--timeout", type=float, default=30.0, show_default=True, help="Seconds until a request is given up (504)."
)
@click.option("--max-body-mib", type=int, default=64, show_default=True, help="Of a request.")
@click.option("--drain", type=float, default=30.0, show_default=True, help="Seconds for what is under way at the end.")
@click.option("--api-key-file", type=PATH, metavar="FILE", help="One line, which every request must carry.")
@click.option("--tls-cert", type=PATH, metavar="FILE", help="PEM; with --tls-key.")
@click.option("--tls-key", type=PATH, metavar="FILE", help="PEM; with --tls-cert.")
@click.option("--traces", is_flag=True, help="OpenTelemetry's spans, to where OTEL_EXPORTER_OTLP_ENDPOINT says.")
@click.option(
    "--threads", type=int, default=0, show_default=True, help="Of the CPU, a process; 0: as the runtime has it."
)
@runtime_option
@click.option(
    "--device",
    "devices",
    type=click.IntRange(0, 1023),
    multiple=True,
    default=(0,),
    show_default=True,
    help="Number of an NPU; several for several, a process each.",
)
def command(artifacts: tuple[str, ...], host: str, api_key_file: Path | None, **options: Any) -> None:
    """Serve ARTIFACTs over REST and gRPC (Open Inference Protocol v2), and a page at /.

    Each is an ONNX or OM file with its manifest beside it, served under NAME, or its network's name. One name given
    twice has versions 1 and 2. It is ready when its answer to the manifest's stored input is the stored one.

    SIGHUP reads the files again and changes over without losing a request; SIGTERM answers what is under way and
    ends. The log, one JSON object a line, goes to standard error.
    """
    from neonext_ascend.jobs import serve

    def told(ready: Started) -> None:
        if host not in ("127.0.0.1", "::1", "localhost") and api_key_file is None:
            note(f"whoever reaches {host} may use this server: no --api-key-file")
        where = f"{ready.url}, gRPC at {ready.grpc}" if ready.grpc else ready.url
        # Whoever started it need not listen; the log goes on.
        with contextlib.suppress(BrokenPipeError, FileAccessError):
            say(f"{', '.join(ready.models)} at {where}")

    # The server hears it as long as it serves; before and after there is nothing to reload, and nothing to die of.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    serve(artifacts, host=host, api_key_file=api_key_file, **options, watch=watching(), started=told)
    for wish in (signal.SIGINT, signal.SIGTERM):  # it has ended
        signal.signal(wish, signal.SIG_IGN)
