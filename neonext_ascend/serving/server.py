"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http import httptools_impl

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.life import Life, Wishes, hearing, settle
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.started import Started
from neonext_ascend.serving.tracing import sending_traces
from neonext_ascend.serving.web.app import App
from neonext_ascend.serving.web.connection import Connection
from neonext_ascend.serving.web.security import read_key

_HEAD = 5.0  # seconds that a request's head has at least; a connection that is kept has as many

# A tensor's body is read as it comes; from 64 KiB on it would stop and start again, two system calls a request.
setattr(httptools_impl, "HIGH_WATER_LIMIT", 2**20)  # noqa: B010 -- mypy: a constant of another's


class _Uvicorn(uvicorn.Server):
    """Signals are the server's affair, not its library's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_until_told(words: Sequence[str], settings: Settings, log: Log, started: Callable[[Started], None]) -> None:
    """Serve ``[NAME=]ARTIFACT...`` until it is told to end; ``started`` is called when it is ready.

    Raises:
        ParityError: an artifact answers otherwise than its manifest says.
        UsageError, ArtifactError, FileAccessError, ToolchainError: it cannot be served, or not there.
    """
    with hearing() as wishes:
        asyncio.run(_serve(words, settings, log, started, wishes))


async def _serve(
    words: Sequence[str], settings: Settings, log: Log, started: Callable[[Started], None], wishes: Wishes
) -> None:
    key = None if settings.api_key_file is None else read_key(settings.api_key_file)
    tls = _tls(settings)
    if settings.port and settings.port == settings.grpc_port:
        raise UsageError(f"--grpc-port {settings.port}: is --port as well; give two ports")
    metrics, tracing = Metrics(), sending_traces(log) if settings.traces else contextlib.nullcontext()
    frozen = gc.get_freeze_count() > 0
    async with contextlib.AsyncExitStack() as ending:
        traces = ending.enter_context(tracing)
        listening = ending.enter_context(_listen(settings, "--port", settings.port))
        settings = replace(settings, port=listening.getsockname()[1])
        rpc: Any = None
        if settings.grpc_port is not None:
            from neonext_ascend.serving.web.rpc import Rpc

            _listen(settings, "--grpc-port", settings.grpc_port).close()  # gRPC says not why it cannot
            rpc = Rpc(settings, tls)
            ending.push_async_callback(rpc.stop, None)
        engine = Engine(read_models(words), settings, metrics, log)
        await engine.start()
        desk = Desk(engine, settings, metrics, traces)
        life = Life(desk, words, log)
        try:
            if rpc is not None:
                await rpc.start(desk, key, log)
            config = uvicorn.Config(
                App(desk, key, log),
                http=partial(Connection, max(settings.timeout, _HEAD)),  # type: ignore[arg-type] # makes one, as the class does
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
            )
            web = _Uvicorn(config)
            settle()
            serving = asyncio.create_task(web.serve([listening]))
            served = engine.told()
            doubts = tuple(f"{model['name']}: {model['doubts']}" for model in served if "doubts" in model)
            url = f"{'https' if tls else 'http'}://{settings.address}:{settings.port}"
            pids = tuple(process.pid for process in engine.processes)
            grpc = None if rpc is None else rpc.address
            wishes.heed(life)
            log("ready", url=url, grpc=grpc, models=served)
            told = Started(url, grpc, tuple(engine.models.titles), doubts, pids, life.stop, life.reload)
            started(told)
            left = await life.over(serving)
            config.timeout_graceful_shutdown = left  # type: ignore[assignment] # it takes parts of a second as well
            web.should_exit = True
            if rpc is not None:
                await rpc.stop(left)
            await serving
        finally:
            await asyncio.gather(*(engine.close() for engine in (desk.engine, *life.replaced)))
            if not frozen:
                gc.unfreeze()
    wishes.over()
    log("ended")


def _listen(settings: Settings, option: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((settings.host, port), family=family, backlog=1024)
    except (OSError, OverflowError, UnicodeError) as error:
        # Python says in brackets what it tried.
        why = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        if isinstance(error, UnicodeError):
            why = "no name of a host"
        words = f"{settings.address}:{port}: cannot listen there: {why}; take another {option} or --host"
        raise FileAccessError(words) from None
    # Inherited by what is accepted; asyncio sets it only where a socket names TCP. Without it answers wait 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _tls(settings: Settings) -> Any:
    pair = (settings.tls_cert, settings.tls_key)
    if pair == (None, None):
        return None
    if None in pair:
        raise UsageError("--tls-cert and --tls-key belong together; give both")
    asked: list[str] = []

    def word() -> str:
        """In place of a question on the terminal, which nobody may be there to answer."""
        asked.append("the key is encrypted, which a server without a person cannot read")
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*pair, password=word)  # type: ignore[arg-type] # neither is None
    except ssl.SSLError as error:
        (why,) = asked or [(error.reason or "not to be read").replace("_", " ").lower()]
        words = f"{settings.tls_cert}: no certificate with the key {settings.tls_key}: {why}; expected PEM files"
        raise UsageError(words) from None
    except OSError as error:
        raise FileAccessError(f"{settings.tls_cert} or {settings.tls_key}: cannot read it: {error.strerror}") from None
    return pair
