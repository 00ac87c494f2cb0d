"""The application of Ray Serve, as far as it needs no Ray: its arguments, and what a replica answers."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend._version import __version__
from neonext_ascend.errors import ArtifactError, FileAccessError, ToolchainError, UsageError
from neonext_ascend.serving.protocol.rest import HEADER
from neonext_ascend.serving.ray import application
from neonext_ascend.serving.ray.arguments import Arguments
from neonext_ascend.serving.ray.building import files_here
from neonext_ascend.serving.ray.replica import Answered, Asked, Replica
from neonext_ascend.serving.settings import MIB, Settings
from tests.serving.conftest import Nano


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "artifacts is missing; expected text that is not empty or a list of 1 or more"),
        ({"artifacts": []}, "artifacts is []"),
        ({"artifacts": ""}, "artifacts is ''"),
        ({"artifacts": "a.om", "npus": 1}, "unknown field 'npus'; expected api_key_file, artifacts, cpus"),
        ({"artifacts": "a.om", "npu": "maybe"}, "npu is 'maybe'; expected true or false"),
        ({"artifacts": "a.om", "cpus": "many"}, "cpus is 'many'; expected a number from 0 to 1024"),
        ({"artifacts": "a.om", "timeout": "nan"}, "timeout is 'nan'; expected a number from 0.01"),
        ({"artifacts": "a.om", "runtime": "onnx"}, "runtime is 'onnx'; expected one of acl, auto, cann, npu, ort"),
        ({"artifacts": "a.om", "min_replicas": "3", "max_replicas": 2}, "min_replicas is 3; expected at most max_"),
        ({"artifacts": "a.om", "max_delay_ms": 500, "timeout": "0.5"}, "max_delay_ms is 500; expected less than the"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_starts(args: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        application(args)
    assert words in str(caught.value)
    assert str(caught.value).startswith("the application's arguments: ")


def test_a_command_line_says_everything_as_text() -> None:
    text = {"artifacts": "a=b.om", "npu": "false", "cpus": "0.5", "max_replicas": "8", "max_delay_ms": "2"}
    found = Arguments.of(text)
    assert found == Arguments(artifacts="a=b.om", npu=False, cpus=0.5, max_replicas=8, max_delay_ms=2.0)
    assert (found.words, found.settings()) == (("a=b.om",), Settings(max_delay=0.002, max_body=64 * MIB))
    assert Arguments.of({"artifacts": ["a", "b"]}).words == ("a", "b")


def test_without_ray_the_application_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolchainError, match=r"needs ray, .*pip install '\.\[ray\]'"):
        application({"artifacts": "a.om"})


def test_a_replica_answers_as_the_server_does(nano: Nano) -> None:
    entry = {"name": "image", "datatype": "FP32", "shape": [24, 3, 96, 96]}
    head = json.dumps(
        {
            "inputs": [{**entry, "parameters": {"binary_data_size": nano.rows.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    headers = [(HEADER.lower().encode(), str(len(head)).encode())]

    async def talk() -> list[Answered]:
        replica, words = Replica.__new__(Replica), [f"nano={nano.free}"]
        await replica.__init__(words, Settings(threads=1), __version__, [files_here(words[0])])  # type: ignore[misc] # as Ray does
        try:
            await replica.check_health()
            asked = [
                Asked("GET", "/v2/models/nano/ready", b"", [], b""),
                Asked("POST", "/classify", b"model=none", [], b"x"),
                Asked("POST", "/v2/models/nano/infer", b"", headers, head + nano.rows.tobytes()),
            ]
            return [await replica.answer(one) for one in asked]
        finally:
            ending = replica.__del__()  # as Ray does
            assert ending is not None
            await ending

    ready, unknown, found = asyncio.run(talk())
    assert (ready.status, json.loads(ready.body)) == (200, {"name": "nano", "ready": True})
    assert (unknown.status, "unknown model 'none'" in json.loads(unknown.body)["error"]) == (404, True)
    length = int(dict(found.headers or [])[HEADER.lower().encode()])
    logits = np.frombuffer(found.body[length:], np.float32).reshape(24, 10)
    # Its batches may be others than the one that gave what is wanted, and sum in another order.
    np.testing.assert_allclose(logits, nano.want, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("version", "file", "error", "words"),
    [
        ("0.0.1", "none.onnx", ToolchainError, f"neonext-ascend {__version__} is here; expected 0.0.1"),
        (__version__, "none.onnx", FileAccessError, "none.onnx"),
        (__version__, None, ArtifactError, f"is another on node {socket.gethostname()}: SHA-256 "),
    ],
)
def test_a_replica_that_cannot_start_says_why_in_a_line(
    version: str,
    file: str | None,
    error: type[Exception],
    words: str,
    nano: Nano,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replica, path = Replica.__new__(Replica), file or str(nano.free)
    known = files_here(path)
    assert (known is None) == (file is not None)
    other = known and {**known, Path(path).with_suffix(".json").name: "0" * 64}
    with pytest.raises(error):
        asyncio.run(replica.__init__([path], Settings(), version, [other]))  # type: ignore[misc] # as Ray does
    told = json.loads(capsys.readouterr().err)
    assert (told["event"], words in told["error"]) == ("replica not started", True)
    assert replica.__del__() is None
