"""The door: it takes HTTP, holds each request until a replica has answered, and asks another where one ends.

Ray itself sends a request again only while no replica has taken it. What a replica was computing when it ended is
asked again here, which is right since an answer changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from neonext_ascend.serving.logs import log, told
from neonext_ascend.serving.ray.replica import Answered, Asked
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.under_way import UnderWay
from neonext_ascend.serving.web.app import answered
from neonext_ascend.serving.web.bodies import read_body, unless_gone
from neonext_ascend.serving.web.security import admit, read_key

# That other replicas of a lost node are lost too is known a little later; the pause doubles each time.
_TRIES, _PAUSE = 4, 0.2
_PROBES, _PROBE_SECONDS = "/v2/health/", 5.0  # who asks whether a replica is there does not want to wait for one
# Of this connection (RFC 9110, 7.6.1) or for this door.
_NOT_FORWARDED = frozenset(
    (b"authorization", b"x-api-key", b"connection", b"expect", b"keep-alive", b"te", b"transfer-encoding", b"upgrade")
)


class Door:
    """A deployment of Ray Serve's, its ingress.

    Args:
        replicas: a handle of theirs.
        settings: of the server: who may come in, how large a request may be, and how long it may take.
    """

    def __init__(self, replicas: Any, settings: Settings) -> None:
        self._replicas, self._settings, self._under_way = replicas, settings, UnderWay()
        with told("door not started"):
            self._key = None if settings.api_key_file is None else read_key(settings.api_key_file)

    def __serve_build_asgi_app__(self) -> Starlette:
        """Ray's ingress asks for it."""
        return Starlette(routes=[Mount("", self._answer)])

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":  # a websocket is not answered, and so refused
            request = Request(scope, receive)
            await (await answered(request, self._forward(request), log))(scope, receive, send)

    async def _forward(self, request: Request) -> Response:
        scope = request.scope
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        admit(self._key, path, request.headers)
        body = await read_body(request, self._settings.max_body, self._settings.timeout, self._under_way)
        headers = [(name, value) for name, value in request.headers.raw if name not in _NOT_FORWARDED]
        asked = Asked(request.method, path, scope["query_string"], headers, body)
        given = await unless_gone(request, self._asked(asked))
        response = Response(given.body, given.status)
        response.raw_headers = given.headers or []
        return response

    async def _asked(self, asked: Asked) -> Answered:
        # A replica's own 504 comes first, where a replica has it.
        seconds = _PROBE_SECONDS if asked.path.startswith(_PROBES) else self._settings.timeout + 1
        try:
            async with asyncio.timeout(seconds):
                for number in range(_TRIES):
                    try:
                        return await self._replicas.answer.remote(asked)  # type: ignore[no-any-return] # Ray's
                    except RayTaskError as error:  # may be of its cause's class as well
                        raise RuntimeError("a bug in a replica") from error
                    except BackPressureError:
                        raise RefusedError(429, "too many requests wait for a replica; try again", 1) from None
                    except DeploymentUnavailableError:
                        raise RefusedError(503, "no replica starts; see `serve status` and its log", 30) from None
                    except (RayError, RayServeException) as error:
                        log("replica lost", path=asked.path, kind=type(error).__name__, error=str(error)[:500])
                    await asyncio.sleep(_PAUSE * 2**number)
        except TimeoutError:
            words = f"no replica answered within {seconds:g} s: none is up, or it was just lost; try again"
            raise RefusedError(503, words, 5) from None
        raise RefusedError(503, f"{_TRIES} replicas were lost while they had this: given up", 5)
