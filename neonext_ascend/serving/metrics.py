"""What a monitor counts, in Prometheus' form."""

from __future__ import annotations

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name, model = "neonext_", ["model", "version"]
        self.requests = Counter(
            f"{name}requests",
            "Answered requests by status; without a model where none had them",
            [*model, "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            f"{name}request_seconds",
            "Seconds of a request by part: prepare, queue, compute, whole",
            [*model, "part"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.waiting = Gauge(f"{name}queue_rows", "Rows that wait", model, registry=self._registry)
        self.batch = Histogram(
            f"{name}batch_rows", "Rows asked for in a batch", model, buckets=_SIZES, registry=self._registry
        )
        self.gears = Counter(
            f"{name}gear", "Batches by the gear they ran in", [*model, "gear"], registry=self._registry
        )
        self.restarts = Counter(
            f"{name}device_restarts",
            "Device processes that ended and were started again",
            ["device"],
            registry=self._registry,
        )
        self.ready = Gauge(
            f"{name}device_ready", "1 where a device's process answers", ["device"], registry=self._registry
        )

        self._memory = Gauge(
            f"{name}device_memory_bytes", "Of an NPU, as npu-smi tells", ["device", "what"], registry=self._registry
        )
        for metric in (self.requests, self.seconds, self.batch, self.gears):
            # Looked up several times in each request.
            setattr(metric, "labels", functools.cache(metric.labels))  # noqa: B010 -- mypy: a method

    def device_memory(self, device: int, used: int, total: int) -> None:
        """Megabytes, as npu-smi tells them."""
        for what, megabytes in (("used", used), ("total", total)):
            self._memory.labels(str(device), what).set(megabytes * 2**20)

    def page(self) -> bytes:
        """All of them as text."""
        return generate_latest(self._registry)
