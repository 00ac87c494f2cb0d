"""What the doors refuse before any model has it, in the same process: no port, no device."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest

from neonext_ascend.serving.desk import Desk
from neonext_ascend.serving.metrics import Metrics
from neonext_ascend.serving.models import Models, read_models
from neonext_ascend.serving.protocol.messages import MESSAGES, SERVICE
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.web.app import App
from neonext_ascend.serving.web.rpc import Rpc
from tests.serving.conftest import Nano
from tests.serving.test_faults import Events

WRONG = {"name": "image", "datatype": "FP32", "shape": [1]}


@pytest.fixture(scope="module")
def desk(nano: Nano) -> Desk:
    """Two versions of a model, the first for smaller pictures."""
    first, second = read_models([f"nano={nano.one}"] * 2).all
    (image,) = first.manifest.inputs
    small = replace(first.manifest, inputs=(replace(image, shape=(1, 3, 32, 32)),))
    engine: Any = SimpleNamespace(models=Models([replace(first, manifest=small), second]), ready=True)
    return Desk(engine, Settings(grpc_port=0), Metrics())


def ask(desk: Desk, method: str, path: str, body: bytes | None = None, **headers: str) -> httpx.Response:
    async def play() -> httpx.Response:
        transport = httpx.ASGITransport(App(desk, None, Events()))
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(play())


@pytest.mark.parametrize(("version", "side"), [("1", "32"), ("2", "96"), ("", "96"), ("3", "")])
def test_what_is_wrong_with_a_request_is_told_with_what_its_version_takes(desk: Desk, version: str, side: str) -> None:
    takes = f"; nano takes image FP32[N, 3, {side}, {side}], pictures to nano-pictures" if side else ""
    path = f"/v2/models/nano{'/versions/' * bool(version)}{version}/infer"
    got = ask(desk, "POST", path, json.dumps({"inputs": [{**WRONG, "data": [1, 2]}]}).encode())
    words = f"image: values: 2; FP32[1] has 1: send as many{takes}"
    assert (got.status_code, got.json()) == (400, {"error": words})

    async def play() -> None:
        rpc = Rpc(desk.settings, None)
        await rpc.start(desk, None, Events())
        try:
            async with grpc.aio.insecure_channel(rpc.address) as channel:
                tensor = {**WRONG, "contents": {"fp32_contents": [1, 2]}}
                asked = MESSAGES["ModelInferRequest"](model_name="nano", model_version=version, inputs=[tensor])
                call = channel.unary_unary(f"/{SERVICE}/ModelInfer", bytes, bytes)(
                    asked.SerializeToString(), timeout=30
                )
                assert (await call.code(), await call.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)
        finally:
            await rpc.stop(None)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "POST"),
        ("HEAD", "/v2/models/nano/infer", "POST"),
        ("DELETE", "/v2", "GET, HEAD"),
        ("POST", "/v2/models/nano", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
    ],
)
def test_which_methods_a_path_takes_is_told(desk: Desk, method: str, path: str, allowed: str) -> None:
    got = ask(desk, method, path)
    assert (got.status_code, got.headers["Allow"]) == (405, allowed)


def test_other_refusals_tell_of_no_method(desk: Desk) -> None:
    for path in ("/nothing", "/v2/models/nothing"):
        got = ask(desk, "GET", path)
        assert (got.status_code, "Allow" in got.headers) == (404, False)
