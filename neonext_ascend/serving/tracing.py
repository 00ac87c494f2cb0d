"""Traces in OpenTelemetry's form: a span for each request, and in it one for each part of its way.

Spans are made when a request is over, from the times that it has been through; without traces nothing is added.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from neonext_ascend.errors import ToolchainError, UsageError

_LAST, _GIVE_UP = 2.0, 0.5  # seconds: to send what is left at the end, and to leave it
# Headers of the request that is answered, in which a caller may name its own span (W3C Trace Context, ``traceparent``).
CALLER: ContextVar[Mapping[str, str] | None] = ContextVar("caller", default=None)


@dataclass(slots=True)
class Trail:
    """What a request has been through: parts by name, each in another, begun and ended in nanoseconds since 1970.

    Args:
        until: on the loop's clock, when it is given up.
    """

    until: float = math.inf
    begun: int = field(default_factory=time.time_ns)
    parts: list[tuple[str, str, int, int]] = field(default_factory=list)
    rows: int = 0

    def prepared(self, seconds: float) -> None:
        """Pictures are, just now."""
        now = time.time_ns()
        self.parts.append(("prepare", "request", now - int(1e9 * seconds), now))

    def computed(self, since: float, waited: float, seconds: float, rows: int) -> None:
        """A batch has come back, just now; the device tells only how long it took: it is put at the batch's end.

        Args:
            since: seconds since the rows began to wait.
            waited: of them, until their batch left.
            seconds: that the device took.
            rows: of the batch.
        """
        now = time.time_ns()
        arrived, self.rows = now - int(1e9 * since), rows
        left = min(now, arrived + int(1e9 * waited))
        self.parts += [
            ("queue", "request", arrived, left),
            ("batch", "request", left, now),
            ("device", "batch", max(left, now - int(1e9 * seconds)), now),
        ]


class Traces:
    """Where spans go.

    Args:
        provider: of tracers, from OpenTelemetry's SDK.

    Attributes:
        ended: spans that should be delivered.
    """

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self.ended = 0
        self._trace, self._extract = trace, extract
        self._tracer = provider.get_tracer("neonext_ascend")

    def told(self, model: str, version: str, status: str, trail: Trail) -> None:
        """A request is over."""
        attributes = {"model": model, "version": version, "http.response.status_code": int(status)}
        kind = self._trace.SpanKind.SERVER
        whole = self._tracer.start_span(
            "request", self._extract(CALLER.get() or {}), kind, attributes, None, trail.begun
        )
        spans = {"request": whole}
        for name, within, start, _ in trail.parts:
            inside = self._trace.set_span_in_context(spans[within])
            spans[name] = self._tracer.start_span(name, inside, start_time=start)
        if trail.rows:
            spans["batch"].set_attribute("rows", trail.rows)
        for name, _, _, end in reversed(trail.parts):
            spans[name].end(end)
        if status >= "500":
            whole.set_status(self._trace.StatusCode.ERROR)
        whole.end()
        self.ended += sum(span.get_span_context().trace_flags.sampled for span in spans.values())


class _Counting:
    """OpenTelemetry's exporter, and how many spans it could deliver."""

    def __init__(self, exporter: Any) -> None:
        self.delivered, self._exporter, self._over = 0, exporter, False

    def export(self, spans: Sequence[Any]) -> Any:
        result = self._exporter.export(spans)
        self.delivered += len(spans) if result.name == "SUCCESS" else 0
        return result

    def shutdown(self) -> None:
        if not self._over:
            self._over = True
            self._exporter.shutdown()


@contextmanager
def sending_traces(log: Callable[..., None]) -> Iterator[Traces]:
    """By OTLP over HTTP, to where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``).

    At the end what is left is sent, within two seconds; how many spans could not be delivered in all is logged.

    Raises:
        ToolchainError: the extra ``[traces]`` is missing.
        UsageError: a variable says what cannot be.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider(resource=Resource.create({"service.name": "neonext-ascend"}), shutdown_on_exit=False)
        exporter: Any = _Counting(OTLPSpanExporter())
        provider.add_span_processor(BatchSpanProcessor(exporter))
        traces = Traces(provider)
    except ImportError as error:
        raise ToolchainError(
            f"--traces needs {error.name}, which is not installed: pip install '.[traces]' in the checkout"
        ) from None
    except ValueError as error:
        raise UsageError(f"--traces: OpenTelemetry's variables: {error}") from None
    try:
        yield traces
    finally:
        # It waits for half a minute where nobody takes them; its exporter gives up when it is told to end.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST)
        exporter.shutdown()
        ending.join(_GIVE_UP)
        if lost := traces.ended - exporter.delivered:
            log("traces not delivered", spans=lost, of=traces.ended)
