"""Traces in OpenTelemetry's form: a span for each request, and in it one for each part of its way.

Spans are made when a request is over, from the times that it has been through; without traces nothing is added.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from neonext_ascend.errors import ToolchainError

# Headers of the request that is answered, in which a caller may name its own span (W3C Trace Context, ``traceparent``).
CALLER: ContextVar[Mapping[str, str] | None] = ContextVar("caller", default=None)


@dataclass(slots=True)
class Trail:
    """What a request has been through: parts by name, each in another, begun and ended in nanoseconds since 1970."""

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
    """

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self._provider, self._trace, self._extract = provider, trace, extract
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

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_traces() -> Traces:
    """By OTLP over HTTP, to where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT``).

    Raises:
        ToolchainError: the extra ``[traces]`` is missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ToolchainError(
            f"--traces needs {error.name}, which is not installed: pip install 'neonext-ascend[traces]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "neonext-ascend"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
