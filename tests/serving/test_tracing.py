"""A span for each request, and in it for each part of its way; whoever asks may be its parent."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.serving import tracing
from neonext_ascend.serving.batching.work import Work
from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.protocol.tensors import InferRequest, Tensor
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.tracing import CALLER, Traces, sending_traces
from tests.serving.conftest import Nano
from tests.serving.test_faults import Events
from tests.standins.server import standing


class Computed:
    """An engine whose device has just computed in two milliseconds what waited for five."""

    def __init__(self, path: Path) -> None:
        from neonext_ascend.serving.engine import Engine

        self.models = read_models([f"nano={path}"])
        self.real = Engine(self.models, Settings(), Metrics(), lambda *_, **__: None)
        self.prepare = self.real.prepare

    async def compute(self, _: Any, rows: np.ndarray[Any, Any], __: float) -> Work:
        loop = asyncio.get_running_loop()
        if not rows.any():
            raise RefusedError(503, "no device answers")
        work = Work(0, rows, loop.time(), loop.create_future(), waited=0.005, computed=0.002, batch=8)
        await asyncio.sleep(0.01)
        work.put(0, [np.zeros((len(rows), 10), np.float32)])
        return work


def test_spans_tell_where_a_request_was(nano: Nano) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    engine: Any = Computed(nano.one)
    desk = Desk(engine, Settings(), Metrics(), Traces(provider))

    async def play() -> None:
        CALLER.set({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        await desk.classify("nano", "", [sample_pictures()[3].read_bytes()])
        CALLER.set({})
        request = InferRequest("", (Tensor.of("image", np.zeros((1, 3, 96, 96), np.float32)),), {}, {})
        with pytest.raises(RefusedError):
            await desk.infer("nano", "", request)
        await engine.real.close()

    asyncio.run(play())
    finished: list[Any] = list(exporter.get_finished_spans())  # whose fields may all be None to mypy
    spans = {span.name: span for span in finished if span.context.trace_id >> 64 == 0x0AF7651916CD43DD}
    assert set(spans) == {"request", "prepare", "queue", "batch", "device"}
    whole = spans["request"]
    assert whole.parent is not None
    assert whole.parent.span_id == 0xB7AD6B7169203331
    for name, within in (("prepare", "request"), ("queue", "request"), ("batch", "request"), ("device", "batch")):
        span, outer = spans[name], spans[within]
        assert span.parent == outer.context
        assert outer.start_time <= span.start_time <= span.end_time <= outer.end_time, name
    assert spans["batch"].attributes == {"rows": 8}
    assert spans["queue"].end_time - spans["queue"].start_time == 5_000_000
    assert spans["device"].end_time - spans["device"].start_time == 2_000_000
    (refused,) = [span for span in finished if span.context.trace_id != whole.context.trace_id]
    assert refused.status.is_ok is False
    assert dict(refused.attributes) == {"model": "nano", "version": "1", "http.response.status_code": 503}
    assert refused.parent is None


TRAIL: Any = SimpleNamespace(begun=1, parts=[("queue", "request", 1, 2)], rows=0)


def test_spans_go_where_opentelemetrys_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Events()
    with standing(paths={"/v1/traces": (200, "")}) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with sending_traces(log) as traces:
            traces.told("nano", "1", "200", TRAIL)
    ((path, body),) = collector.others
    assert path == "/v1/traces"
    assert b"queue" in body
    assert b"neonext-ascend" in body
    assert not log.seen


def sender() -> list[threading.Thread]:
    """The library's thread, as long as it lives."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]


@pytest.mark.parametrize("silent", [False, True])
def test_a_collector_that_is_away_does_not_hold_the_end(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    ended: list[object] = []
    monkeypatch.setattr(tracing, "_LAST", 0.05)
    monkeypatch.setattr(tracing, "_GIVE_UP", 0.05 if silent else 30.0)
    end: Callable[[Any], object] = OTLPSpanExporter.shutdown

    def shutdown(exporter: object) -> None:
        ended.append(exporter)
        end(exporter)

    monkeypatch.setattr(OTLPSpanExporter, "shutdown", shutdown)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1] if silent else 1
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        with sending_traces(lambda event, **details: told.append((event, details))) as traces:
            traces.told("nano", "1", "200", TRAIL)
            begun = time.monotonic()
        # The library's own end comes after 10 seconds at the earliest.
        assert time.monotonic() - begun < 5
        # It is told to end meanwhile, and waited for: only a request that is under way goes on.
        assert len(ended) == 1
        assert silent or not sender()
    for thread in sender():  # that of the silent one's request, which ends with its connection
        thread.join(30)
    assert told == [("traces not delivered", {"spans": 2, "of": 2})]
    assert not sender()


def test_a_server_that_cannot_listen_leaves_nothing_that_sends(nano: Nano, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["serve", str(nano.one), "--traces", "--port", str(taken.getsockname()[1])]) == 5
    assert "cannot listen there" in capfd.readouterr().err
    assert not sender()


def test_variables_that_cannot_be_used_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(UsageError, match="OpenTelemetry's variables: max_queue_size"), sending_traces(Events()):
        pass


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    missing = pytest.raises(ToolchainError, match=r"needs opentelemetry.*pip install '\.\[traces\]'")
    with missing, sending_traces(Events()):
        pass
