"""The REST door: the protocol's paths, ``/classify``, ``/metrics`` and the page."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neonext_ascend.serving.desk import Classified, Desk
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.protocol.rest import HEADER, answer_body, parse_request
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.web.bodies import Gone, LingeringResponse, picture_of, read_body, unless_gone
from neonext_ascend.serving.web.security import OPEN_PATHS, admits

Handler = Callable[[Request], Awaitable[Response]]
# The page asks no other host, and no other host's page may hold it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src blob: data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"  # noqa: E501 -- one header


def make_app(desk: Desk, key: str | None, log: Log) -> Starlette:
    """The application.

    Args:
        desk: that answers.
        key: which requests must carry; ``None`` lets everyone in.
        log: of what is a bug of ours.
    """
    doors = _Doors(desk)
    model = "/v2/models/{name}"
    gets: dict[str, Handler] = {
        "/v2/health/live": doors.live,
        "/v2/health/ready": doors.ready,
        "/v2": doors.server,
        model: doors.model,
        f"{model}/versions/{{version}}": doors.model,
        f"{model}/ready": doors.model_ready,
        f"{model}/versions/{{version}}/ready": doors.model_ready,
        "/metrics": doors.metrics,
        "/": doors.page,
    }
    posts: dict[str, Handler] = {
        f"{model}/infer": doors.infer,
        f"{model}/versions/{{version}}/infer": doors.infer,
        "/classify": doors.classify,
    }

    def guarded(handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                if request.url.path not in OPEN_PATHS and not admits(key, request.headers):
                    raise RefusedError(401, "expected the API key, as Authorization: Bearer KEY or X-API-Key: KEY")
                return await handler(request)
            except RefusedError as refusal:
                return _refused(refusal, closing=refusal.status in (408, 413) or desk.draining)
            except Gone:
                return Response(status_code=499)  # nobody reads it
            except Exception:
                log("bug", path=request.url.path, traceback=traceback.format_exc())
                return _refused(RefusedError(500, "a bug of neonext-ascend; please report it with the server's log"))

        return answer

    routes = [Route(path, guarded(handler), methods=["GET"]) for path, handler in gets.items()]
    routes += [Route(path, guarded(handler), methods=["POST"]) for path, handler in posts.items()]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_such_path})


class _Doors:
    """One method for each path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def live(self, _: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        return _json({"ready": self._desk.ready}, 200 if self._desk.ready else 503)

    async def server(self, _: Request) -> Response:
        return _json(self._desk.server_metadata())

    async def model(self, request: Request) -> Response:
        return _json(self._desk.model_metadata(*_model_of(request)))

    async def model_ready(self, request: Request) -> Response:
        name, version = _model_of(request)
        self._desk.engine.models.find(name, version)
        return _json({"name": name, "ready": self._desk.ready}, 200 if self._desk.ready else 503)

    async def infer(self, request: Request) -> Response:
        settings, (name, version) = self._desk.settings, _model_of(request)
        body = await read_body(request, settings.max_body, settings.timeout)
        asked = parse_request(body, request.headers.get(HEADER))
        model, outputs = await unless_gone(request, self._desk.infer(name, version, asked))
        text, json_length = answer_body(asked, name, model.version, outputs, {})
        if json_length is None:
            return Response(text, media_type="application/json")
        return Response(text, media_type="application/octet-stream", headers={HEADER: str(json_length)})

    async def classify(self, request: Request) -> Response:
        settings, query = self._desk.settings, request.query_params
        body = await read_body(request, settings.max_body, settings.timeout)
        picture = picture_of(body, request.headers.get("content-type", ""))
        answer = self._desk.classify(query.get("model", ""), query.get("version", ""), [picture], query.get("top"))
        return _json(_classified_json(await unless_gone(request, answer)))

    async def metrics(self, _: Request) -> Response:
        return Response(self._desk.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def page(self, _: Request) -> Response:
        text = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        models = json.dumps(self._desk.engine.models.names).replace("<", "\\u003c")
        return Response(text.replace("/*MODELS*/[]", models), media_type="text/html", headers=headers)


def _classified_json(found: Classified) -> dict[str, Any]:
    top = [{"index": g.index, "label": g.label, "score": g.score} for g in found.tops[0]]
    milliseconds = {part: round(1000 * seconds, 3) for part, seconds in found.seconds.items()}
    answer = {"model": found.model.name, "version": found.model.version, "top": top, "milliseconds": milliseconds}
    doubts = {"note": found.notes[0], "assumed": found.model.recipe.assumed}
    told = {name: words for name, words in doubts.items() if words}
    return {**answer, "batch": found.batch, "trained": found.model.recipe.trained, **told}


def _model_of(request: Request) -> tuple[str, str]:
    return request.path_params["name"], request.path_params.get("version", "")


def _json(data: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(data), status, media_type="application/json")


def _refused(refusal: RefusedError, closing: bool = False) -> Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if closing:
        headers["Connection"] = "close"
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    kind = LingeringResponse if refusal.status == 413 else Response
    return kind(json.dumps({"error": str(refusal)}), refusal.status, headers, "application/json")


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = "no such path" if status == 404 else f"{request.method} is not for this path"
    return _json({"error": f"{request.url.path[:120]}: {what}; see /v2"}, status)
