"""The REST door: the protocol's paths, ``/classify``, ``/metrics`` and the page."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neonext_ascend.serving.desk import Classified, Desk
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.protocol.rest import HEADER, LARGE, answer_body, headers_of, parse_request
from neonext_ascend.serving.protocol.tensors import InferRequest
from neonext_ascend.serving.refusals import RefusedError, cut
from neonext_ascend.serving.tracing import CALLER
from neonext_ascend.serving.web.bodies import Gone, LingeringResponse, UnreadError, picture_of, read_body, unless_gone
from neonext_ascend.serving.web.security import admit

Handler = Callable[..., Awaitable[Response]]
# The page asks no other host, and no other host's page may hold it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src blob: data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"  # noqa: E501 -- one header


class App:
    """The application, in ASGI's form; its own table of paths, since a library's costs as much as all else here.

    Args:
        desk: that answers.
        key: which requests must carry; ``None`` lets everyone in.
        log: of what is a bug of ours.
    """

    def __init__(self, desk: Desk, key: str | None, log: Log) -> None:
        self._desk, self._key, self._log = desk, key, log
        doors, model = _Doors(desk), "/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
        self._paths: list[tuple[re.Pattern[str], str, Handler]] = [
            (re.compile(f"{path}/?"), method, handler)
            for path, method, handler in (
                (f"{model}/infer", "POST", doors.infer),
                ("/classify", "POST", doors.classify),
                ("/v2/health/live", "GET", doors.live),
                ("/v2/health/ready", "GET", doors.ready),
                ("/v2", "GET", doors.server),
                (model, "GET", doors.model),
                (f"{model}/ready", "GET", doors.model_ready),
                ("/v2/repository/index", "POST", doors.index),
                ("/metrics", "GET", doors.metrics),
                ("", "GET", doors.page),
            )
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        if self._desk.traces is not None:
            CALLER.set(request.headers)
        response = await answered(request, self._answer(request), self._log)
        if self._desk.under_way.draining and response.status_code >= 400:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._handled(request, request.scope["path"], request.scope["method"])
        except RefusedError as refusal:
            self._desk.count(refusal)
            raise

    async def _handled(self, request: Request, path: str, method: str) -> Response:
        admit(self._key, path, request.headers)
        others = []
        for pattern, wanted, handler in self._paths:
            if (found := pattern.fullmatch(path)) is not None:
                if method == wanted or (method, wanted) == ("HEAD", "GET"):
                    return await handler(request, **found.groupdict(default=""))
                others.append(wanted)
        if others:
            raise _MethodError(f"{cut(path)}: {method} is not for this path; expected {' or '.join(others)}", others)
        raise RefusedError(404, f"{cut(path)}: no such path; expected /v2, /v2/models/NAME, /classify or /metrics")


class _MethodError(RefusedError):
    """There is such a path, and it takes other methods."""

    def __init__(self, words: str, others: Sequence[str]) -> None:
        super().__init__(405, words)
        self.allowed = ", ".join([*others, *("HEAD" for method in others if method == "GET")])


class _Doors:
    """One method for each path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reading = asyncio.Lock()  # one large body at a time, for what it takes beside itself

    async def live(self, _: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        return _json({"ready": self._desk.ready}, 200 if self._desk.ready else 503)

    async def server(self, _: Request) -> Response:
        return _json(self._desk.server_metadata())

    async def index(self, _: Request) -> Response:
        return _json(self._desk.index())

    async def model(self, _: Request, name: str, version: str) -> Response:
        return _json(self._desk.model_metadata(name, version))

    async def model_ready(self, _: Request, name: str, version: str) -> Response:
        self._desk.engine.models.find(name, version)
        return _json({"name": name, "ready": self._desk.ready}, 200 if self._desk.ready else 503)

    async def infer(self, request: Request, name: str, version: str) -> Response:
        body = await self._body(request)
        parsed = partial(self._parsed, body, request.headers.get(HEADER), name, version)
        if len(body) <= LARGE:
            asked = await parsed()
        else:
            async with self._desk.under_way.bound(kind=UnreadError), self._reading:
                asked = await parsed()
        model, outputs = await unless_gone(request, self._desk.infer(name, version, asked))
        text, json_length = answer_body(asked, name, model.version, outputs, {})
        return Response(text, headers=headers_of(json_length))

    async def classify(self, request: Request) -> Response:
        query = request.query_params
        body = await self._body(request)
        picture = picture_of(body, request.headers.get("content-type", ""))
        answer = self._desk.classify(query.get("model", ""), query.get("version", ""), [picture], query.get("top"))
        return _json(_classified_json(await unless_gone(request, answer)))

    async def _body(self, request: Request) -> bytes:
        settings = self._desk.settings
        return await read_body(request, settings.max_body, settings.timeout, self._desk.under_way)

    async def _parsed(self, body: bytes, header_length: str | None, name: str, version: str) -> InferRequest:
        with self._desk.engine.models.explaining(name, version):
            return await parse_request(body, header_length)

    async def metrics(self, _: Request) -> Response:
        await self._desk.engine.look()
        return Response(self._desk.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def page(self, _: Request) -> Response:
        text = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        models = json.dumps(self._desk.engine.models.classifying).replace("<", "\\u003c")
        return Response(text.replace("/*MODELS*/[]", models), media_type="text/html", headers=headers)


def _classified_json(found: Classified) -> dict[str, Any]:
    top = [{"index": g.index, "label": g.label, "score": g.score} for g in found.tops[0]]
    milliseconds = {part: round(1000 * seconds, 3) for part, seconds in found.seconds.items()}
    answer = {"model": found.model.name, "version": found.model.version, "top": top, "milliseconds": milliseconds}
    doubts = {"note": found.notes[0], "assumed": found.model.recipe.assumed}
    told = {name: words for name, words in doubts.items() if words}
    return {**answer, "batch": found.batch, "trained": found.model.recipe.trained, **told}


def _json(data: object, status: int = 200) -> Response:
    return Response(json.dumps(data), status, media_type="application/json")


async def answered(request: Request, answer: Awaitable[Response], log: Log) -> Response:
    """The answer, or why there is none."""
    try:
        return await answer
    except RefusedError as refusal:
        return _refused(refusal)
    except Gone:
        return Response(status_code=499)  # nobody reads it
    except Exception:
        log("bug", path=request.scope["path"], traceback=traceback.format_exc())
        return _refused(RefusedError(500, "a bug of neonext-ascend; please report it with the server's log"))


def _refused(refusal: RefusedError) -> Response:
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if isinstance(refusal, UnreadError) or refusal.status == 408:
        headers["Connection"] = "close"  # the rest of the body may yet come
    if isinstance(refusal, _MethodError):
        headers["Allow"] = refusal.allowed
    if refusal.status == 415:
        headers["Accept-Encoding"] = "identity"
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    kind = LingeringResponse if isinstance(refusal, UnreadError) else Response
    return kind(json.dumps({"error": str(refusal)}), refusal.status, headers, "application/json")
