"""The door: it takes HTTP, holds each request until a replica has answered, and asks another where one ends.

Ray itself sends a request again only while no replica has taken it. What a replica was computing when it ended is
asked again here, which is right since an answer changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neonext_ascend.serving.ray.replica import Answered, Asked
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web.app import refused
from neonext_ascend.serving.web.bodies import Gone, read_body, unless_gone

# That other replicas of a lost node are lost too is known a little later; the pause doubles each time.
_TRIES, _PAUSE = 4, 0.2


class Door:
    """A deployment of Ray Serve's, its ingress.

    Args:
        replicas: a handle of theirs.
        settings: of the server: how large a request may be, and how long it may take.
    """

    def __init__(self, replicas: Any, settings: Settings) -> None:
        self._replicas, self._settings = replicas, settings

    def __serve_build_asgi_app__(self) -> Starlette:
        """Ray's ingress asks for it."""
        route = Route("/{path:path}", self._forward, methods=["GET", "POST"])
        return Starlette(routes=[route], exception_handlers={HTTPException: _refuse})

    async def _forward(self, request: Request) -> Response:
        try:
            body = await read_body(request, self._settings.max_body, self._settings.timeout)
            path, query = f"/{request.path_params['path']}", request.scope["query_string"]
            asked = Asked(request.method, path, query, request.headers.raw, body)
            answered = await unless_gone(request, self._asked(asked))
        except RefusedError as refusal:
            return refused(refusal, closing=refusal.status in (408, 413))
        except Gone:
            return Response(status_code=499)  # nobody reads it
        response = Response(answered.body, answered.status)
        response.raw_headers = answered.headers or []
        return response

    async def _asked(self, asked: Asked) -> Answered:
        try:
            # A replica's own 504 comes first, where a replica has it.
            async with asyncio.timeout(self._settings.timeout + 1):
                for number in range(_TRIES):
                    try:
                        answered: Answered = await self._replicas.answer.remote(asked)
                    except RayActorError:
                        await asyncio.sleep(_PAUSE * 2**number)
                    else:
                        return answered
        except TimeoutError:
            raise RefusedError(504, "no replica answered in time: given up") from None
        except BackPressureError:
            raise RefusedError(429, "too many requests wait for a replica; try again", 1) from None
        raise RefusedError(503, f"{_TRIES} replicas ended while they had this: given up", 5)


async def _refuse(request: Request, error: Exception) -> Response:
    """What no replica is asked, in the words of the other refusals."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refused(RefusedError(status, f"{request.method} is not for this path; see /v2"))
