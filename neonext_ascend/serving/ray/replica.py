"""A replica: the server's web application, engine and batcher on one device, asked by a door in place of a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from neonext_ascend._version import __version__
from neonext_ascend.errors import ToolchainError
from neonext_ascend.runtimes.sameness import Digests, refuse_another
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.logs import log, told
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web.app import App

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of HTTP, whole."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes


@dataclass(slots=True)
class Answered:
    """An answer of HTTP, whole."""

    status: int = 500
    headers: Headers | None = None
    body: bytes = b""


class Replica:
    """A deployment of Ray Serve's.

    Args:
        words: ``[NAME=]ARTIFACT``.
        settings: of the server; who may come in is the door's affair.
        version: of this package where the application was built.
        files: of each artifact there, where it was to be read; the replica's are to be the same.
    """

    _engine: Engine | None = None

    async def __init__(  # type: ignore[misc] # Ray awaits it
        self, words: Sequence[str], settings: Settings, version: str, files: Sequence[Digests | None]
    ) -> None:
        with told("replica not started"):
            if version != __version__:
                raise ToolchainError(f"neonext-ascend {__version__} is here; expected {version}, as at the door")
            models, metrics = read_models(words), Metrics()
            for model, expected in zip(models.all, files, strict=True):
                refuse_another(model.path, expected)
            engine = Engine(models, settings, metrics, log)
            await engine.start()
        self._engine = engine
        self._app = App(Desk(engine, settings, metrics), None, log)

    async def check_health(self) -> None:
        """Ray asks now and then, and starts another where this fails several times."""
        if self._engine is None or not self._engine.ready:
            raise ToolchainError("its device does not answer; see its log")

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Ray calls it once all is answered, and awaits what it gives; Python calls it when nothing is left to end."""
        engine, self._engine = self._engine, None
        return None if engine is None else engine.close()

    async def answer(self, asked: Asked) -> Answered:
        """Through the web application, as if it had come by a socket; given up when the door gives up."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": asked.method,
            "path": asked.path,
            "query_string": asked.query,
            "headers": asked.headers,
        }
        given, body = Answered(), [asked.body]

        async def receive() -> dict[str, Any]:
            if not body:
                await asyncio.Event().wait()  # a client that goes is seen by the door, which cancels this
            return {"type": "http.request", "body": body.pop()}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                given.status, given.headers = message["status"], list(message["headers"])
            else:
                given.body += message.get("body", b"")

        await self._app(scope, receive, send)
        return given
