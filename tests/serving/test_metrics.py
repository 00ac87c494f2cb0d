"""What a monitor reads: of the models and devices that there are when it asks."""

from __future__ import annotations

import asyncio
import math
import re
from types import SimpleNamespace
from typing import Any

import pytest

from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.engine import Engine
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.protocol.tensors import InferRequest, Tensor
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.settings import Settings
from tests.serving.conftest import Nano


def test_the_metrics_tell_what_is_so_now(nano: Nano) -> None:
    metrics = Metrics()

    def engine(*names: str) -> Engine:
        return Engine(read_models([f"{name}={nano.one}" for name in names]), Settings(), metrics, lambda *_, **__: None)

    def told(metric: str) -> dict[str, float]:
        lines = re.findall(rf'^neonext_{metric}\{{(?:device|model)="(\w+)".*?\}} (\S+)$', metrics.page().decode(), re.M)
        return {name: float(value) for name, value in lines}

    async def play() -> None:
        old, new = engine("a", "b"), engine("b")
        waiting = asyncio.create_task(old.compute(old.models.find("a")[0], nano.rows[:2], math.inf))
        await asyncio.sleep(0)
        old.processes[0].ready = True
        await old.look()
        assert (told("device_ready"), told("queue_rows")) == ({"0": 1}, {"a": 2, "b": 0})
        # What a reload replaces ends after that which replaces it has begun.
        new.processes[0].ready = True
        await old.close()
        with pytest.raises(RefusedError, match="the server is ending"):
            await waiting
        await new.look()
        assert (told("device_ready"), told("queue_rows")) == ({"0": 1}, {"b": 0})
        await new.close()

    asyncio.run(play())


def test_a_bug_is_counted_as_one_and_who_goes_as_gone(nano: Nano) -> None:
    metrics = Metrics()
    request = InferRequest("", (Tensor.of("image", nano.rows[:1]),), {}, {})

    async def compute(*_: Any) -> None:
        raise errors.pop()

    engine: Any = SimpleNamespace(models=read_models([f"nano={nano.one}"]), compute=compute)
    errors: list[BaseException] = [ValueError("a bug"), asyncio.CancelledError()]
    for error in reversed(errors.copy()):
        with pytest.raises(type(error)):
            asyncio.run(Desk(engine, Settings(), metrics).infer("nano", "", request))
    for status in ("499", "500"):
        assert f'neonext_requests_total{{model="nano",status="{status}",version="1"}} 1.0' in metrics.page().decode()
