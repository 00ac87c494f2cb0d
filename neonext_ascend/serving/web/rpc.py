"""The gRPC door: the same answers, in the protocol's messages."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # protobuf has no types

from neonext_ascend.errors import FileAccessError
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.logs import Log
from neonext_ascend.serving.protocol.messages import MESSAGES, METHODS, SERVICE, answer, parse_request
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.tracing import CALLER
from neonext_ascend.serving.web.security import admits

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_OPEN = ("ServerLive", "ServerReady")


class _Answers:
    """One method for each of the protocol's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def server_live(self, _: Any, __: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    async def server_ready(self, _: Any, __: Any) -> Any:
        return MESSAGES["ServerReadyResponse"](ready=self._desk.ready)

    async def model_ready(self, request: Any, _: Any) -> Any:
        self._desk.engine.models.find(request.name, request.version)
        return MESSAGES["ModelReadyResponse"](ready=self._desk.ready)

    async def server_metadata(self, _: Any, __: Any) -> Any:
        return MESSAGES["ServerMetadataResponse"](**self._desk.server_metadata())

    async def model_metadata(self, request: Any, _: Any) -> Any:
        return MESSAGES["ModelMetadataResponse"](**self._desk.model_metadata(request.name, request.version))

    async def model_infer(self, request: Any, context: Any) -> Any:
        with self._desk.engine.models.explaining(request.model_name, request.model_version):
            asked = parse_request(request)
        model, outputs = await self._desk.infer(
            request.model_name, request.model_version, asked, context.time_remaining()
        )
        return answer(asked, request.model_name, model.version, outputs, {})


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """What answers each call, found by its head: one without the key is refused before its body is read."""

    def __init__(self, desk: Desk, key: str | None, log: Log) -> None:
        answers, self._desk, self._key = _Answers(desk), desk, key
        methods = (
            answers.server_live,
            answers.server_ready,
            answers.model_ready,
            answers.server_metadata,
            answers.model_metadata,
            answers.model_infer,
        )
        named = zip(METHODS, methods, strict=True)
        self._handlers = {f"/{SERVICE}/{name}": _guarded(name, method, desk, log) for name, method in named}
        self._open = {f"/{SERVICE}/{name}" for name in _OPEN}
        # As if it took a stream: such a handler is called before any message is read.
        self._refusing = grpc.stream_unary_rpc_method_handler(self._refuse)

    def service(self, asked: Any) -> Any:
        """As grpc has it; ``None`` for a method that there is not."""
        handler = self._handlers.get(asked.method)
        if handler is None or asked.method in self._open or admits(self._key, _texts(asked.invocation_metadata)):
            return handler
        return self._refusing

    async def _refuse(self, _: Any, context: Any) -> None:
        refusal = RefusedError(401, "expected the API key, as authorization: Bearer KEY or x-api-key: KEY")
        self._desk.count(refusal)
        await context.abort(_CODES[refusal.status], str(refusal))


def _texts(metadata: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in metadata or ()}


def _guarded(name: str, method: Callable[[Any, Any], Awaitable[Any]], desk: Desk, log: Log) -> Any:
    message = MESSAGES[f"{name}Request"]

    async def call(request: bytes, context: Any) -> Any:
        try:
            CALLER.set(_texts(context.invocation_metadata()))
            return await method(message.FromString(request), context)
        except DecodeError:
            desk.count(RefusedError(400, ""))
            code, words = grpc.StatusCode.INVALID_ARGUMENT, f"the request is no {message.DESCRIPTOR.name}"
        except RefusedError as refusal:
            desk.count(refusal)
            code, words = _CODES.get(refusal.status, grpc.StatusCode.UNKNOWN), str(refusal)
            if refusal.retry_after is not None:
                context.set_trailing_metadata((("retry-after", str(refusal.retry_after)),))
        except Exception:
            log("bug", method=name, traceback=traceback.format_exc())
            code, words = grpc.StatusCode.INTERNAL, "a bug of neonext-ascend; please report it with the server's log"
        await context.abort(code, words)
        return None

    return grpc.unary_unary_rpc_method_handler(
        call,
        response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
    )


class Rpc:
    """The server of gRPC: it has its port from the beginning, and answers from its start on.

    Attributes:
        address: where it listens.

    Raises:
        FileAccessError: the port is taken, or the certificate cannot be read.
    """

    def __init__(self, settings: Settings, tls: tuple[Path, Path] | None) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_body),
                ("grpc.max_send_message_length", -1),
                # As over HTTP; its own are 16 KiB, and a lot's word from 8 on.
                ("grpc.max_metadata_size", 2**16),
                ("grpc.absolute_max_metadata_size", 2**16),
                ("grpc.so_reuseport", 0),  # a port that another has is an error
            ]
        )
        self._begun = False
        where, port = f"{settings.address}:{settings.grpc_port}", 0
        with contextlib.suppress(RuntimeError):  # grpc's word for a port that cannot be had
            if tls is None:
                port = self._server.add_insecure_port(where)
            else:
                try:
                    pair = (tls[1].read_bytes(), tls[0].read_bytes())
                except OSError as error:
                    raise FileAccessError(f"{error.filename}: cannot read it: {error.strerror}") from None
                port = self._server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
        if not port:
            raise FileAccessError(f"{where}: cannot listen there; take another --grpc-port or --host")
        self.address = f"{settings.address}:{port}"

    async def start(self, desk: Desk, key: str | None, log: Log) -> None:
        """Answer calls; those that came meanwhile, too."""
        self._server.add_generic_rpc_handlers((_Methods(desk, key, log),))
        self._begun = True
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Take no more, and end those under way in so many seconds, or at once."""
        if not self._begun:
            await self._server.start()  # one that never did would keep its port
            self._begun = True
        await self._server.stop(grace)
