"""A server's life as its user sees it: the command, its ports, SIGTERM, SIGHUP, and what is refused at the door."""

from __future__ import annotations

import contextlib
import gc
import gzip
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from neonext_ascend import jobs
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.cli.main import run
from neonext_ascend.client import Client
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.life import LINGER
from neonext_ascend.serving.models import read_models
from neonext_ascend.serving.protocol.messages import MESSAGES, SERVICE
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.server import serve_until_told
from neonext_ascend.serving.settings import Settings
from neonext_ascend.serving.started import Started
from tests.serving.conftest import Nano
from tests.serving.test_faults import Events
from tests.support.forgetting import forget
from tests.support.serving import Served, serving

PICTURE = sample_pictures()[3]
INFER = "/v2/models/nano/infer"


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with four outputs."""
    return jobs.export("neonext_nano", features="nchw", output=tmp_path_factory.mktemp("maps")).onnx.path


@pytest.fixture(scope="module")
def served(nano: Nano, maps: Path) -> Iterator[Served]:
    with serving(nano.one, f"nano={nano.free}", f"maps={maps}", "--grpc-port", 0, "--max-body-mib", 2) as up:
        yield up


def tensor_request(rows: np.ndarray[Any, Any], **more: object) -> bytes:
    entry = {"name": "image", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [entry], **more}).encode()


def test_the_protocols_paths(served: Served) -> None:
    assert served.ask("GET", "/v2/health/live").json == {"live": True}
    assert served.ask("GET", "/v2/health/ready").status == 200
    for path in ("/v2", "/v2/"):  # the document's, and the published schema's
        assert served.ask("GET", path).json["name"] == "neonext-ascend"
    told = served.ask("GET", "/v2/models/nano/versions/1").json
    assert told["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 96, 96]}]
    assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
    assert served.ask("GET", "/v2/models/neonext_nano/ready").json == {"name": "neonext_nano", "ready": True}
    assert b'neonext_device_ready{device="0"} 1.0' in served.ask("GET", "/metrics").body


@pytest.mark.parametrize("model", ["nano", "neonext_nano"])
def test_tensors_are_answered_as_the_runner_answers(served: Served, nano: Nano, model: str) -> None:
    path = f"/v2/models/{model}/infer"
    got = served.ask("POST", path, tensor_request(nano.rows[:3], id="7"))
    assert got.status == 200, got.body
    (output,) = got.json["outputs"]
    assert got.json["id"] == "7"
    # As in test_faults.
    np.testing.assert_allclose(np.reshape(output["data"], (3, 10)), nano.want[:3], rtol=0, atol=1e-4)
    raw = nano.rows[:3].tobytes()
    parameters = {"binary_data_size": len(raw)}
    entry = {"name": "image", "datatype": "FP32", "shape": [3, 3, 96, 96], "parameters": parameters}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    header = "Inference-Header-Content-Length"
    got = served.ask("POST", path, head + raw, {header: str(len(head))})
    values = np.frombuffer(got.body[int(got.headers[header]) :], "<f4").reshape(3, 10)
    np.testing.assert_allclose(values, nano.want[:3], rtol=0, atol=1e-4)


def test_pictures_are_classified_as_predict_does(served: Served, nano: Nano) -> None:
    (told,) = jobs.predict(nano.free, PICTURE, top=2)
    data = PICTURE.read_bytes()
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + data + b"\r\n--x--\r\n"
    for body, kind in ((data, "image/png"), (form, "multipart/form-data; boundary=x")):
        got = served.ask("POST", "/classify?model=nano&top=2", body, {"Content-Type": kind}).json
        top = got["top"]
        assert [(g["index"], g["label"]) for g in top] == [(g.index, g.label) for g in told.top]
        assert [g["score"] for g in top] == pytest.approx([g.score for g in told.top], abs=1e-5)
    assert got["trained"] is True


def test_several_outputs_are_tensors_and_no_classes(served: Served, nano: Nano, maps: Path) -> None:
    with open_runner(maps, threads=1) as runner:
        want = [runner.infer({"image": row[None]}) for row in nano.rows[:2]]
    got = served.ask("POST", "/v2/models/maps/infer", tensor_request(nano.rows[:2])).json["outputs"]
    assert [output["name"] for output in got] == ["stage1", "stage2", "stage3", "stage4"]
    for output in got:
        values = np.concatenate([answers[output["name"]] for answers in want])
        assert output["shape"] == list(values.shape)
        np.testing.assert_array_equal(np.float32(output["data"]), values.ravel())  # the same file, the same batch
    with Client(f"http://127.0.0.1:{served.port}") as client:
        for name, values in client.infer_all("maps", nano.rows[:2]).items():
            np.testing.assert_array_equal(values, np.concatenate([answers[name] for answers in want]))
        with pytest.raises(UsageError, match="maps: gives stage1, stage2, stage3, stage4; infer is for one output"):
            client.infer("maps", nano.rows[:2])
    got = served.ask("POST", "/v2/models/maps/infer", tensor_request(nano.rows[:1], outputs=[{"name": "stage3"}])).json
    assert [output["name"] for output in got["outputs"]] == ["stage3"]
    for path, body in (
        ("/classify?model=maps", PICTURE.read_bytes()),
        ("/v2/models/maps-pictures/infer", tensor_request(nano.rows[:1])),
    ):
        refused = served.ask("POST", path, body)
        assert (refused.status, "maps gives maps, no classes" in refused.json["error"]) == (404, True)
    listed = served.ask("POST", "/v2/repository/index", b"{}").json
    assert [entry["name"] for entry in listed] == [
        "neonext_nano",
        "nano",
        "maps",
        "neonext_nano-pictures",
        "nano-pictures",
    ]
    assert {entry["state"] for entry in listed} == {"READY"}


def test_grpc_answers_the_same(served: Served, nano: Nano) -> None:
    import grpc

    assert served.grpc is not None
    with grpc.insecure_channel(served.grpc) as channel:

        def call(method: str, **fields: object) -> Any:
            ask = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=MESSAGES[f"{method}Request"].SerializeToString,
                response_deserializer=MESSAGES[f"{method}Response"].FromString,
            )
            return ask(MESSAGES[f"{method}Request"](**fields), timeout=30)

        assert call("ServerReady").ready is True
        assert call("ModelMetadata", name="nano").versions == ["1"]
        image = {"name": "image", "datatype": "FP32", "shape": [2, 3, 96, 96]}
        raw = nano.rows[:2].tobytes()
        got = call("ModelInfer", model_name="nano", id="9", inputs=[image], raw_input_contents=[raw])
        values = np.frombuffer(got.raw_output_contents[0], "<f4").reshape(2, 10)
        np.testing.assert_allclose(values, nano.want[:2], rtol=0, atol=1e-4)
        with pytest.raises(grpc.RpcError) as caught:
            call("ModelInfer", model_name="nano", inputs=[image], raw_input_contents=[raw[:-1]])
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        for method in ("ModelInfer", "ServerLive"):
            ask = channel.unary_unary(f"/{SERVICE}/{method}", bytes, bytes)
            with pytest.raises(grpc.RpcError, match=f"the request is no {method}Request") as caught:
                ask(b"\xff", timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            call("ModelMetadata", name="nothing")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        fields = {"model_name": "nano", "inputs": [image], "raw_input_contents": [raw]}
        for wrong in ({"bool_param": True}, {"string_param": "1"}, {"double_param": 1.5}, {"int64_param": -1}):
            with pytest.raises(grpc.RpcError, match="expected whole microseconds") as caught:
                call("ModelInfer", **fields, parameters={"timeout": wrong})
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        for none in (0, 10**9):
            assert call("ModelInfer", **fields, parameters={"timeout": {"int64_param": none}}).raw_output_contents
        # gRPC's own words: a body, and a head.
        for body, head in ((bytes(2**21 + 1), 1), (b"", 2**16)):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{SERVICE}/ModelInfer", bytes, bytes)(body, 30, [("x", "x" * head)])
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert channel.unary_unary(f"/{SERVICE}/ServerLive", bytes, bytes)(b"", 30, [("x", "x" * 60000)])


def one_input(parameters: object = None, **fields: object) -> bytes:
    entry = {"name": "image", "datatype": "FP32", "shape": [1], "data": [1], **fields}
    return json.dumps({"inputs": [entry], "parameters": parameters or {}}).encode()


def test_the_client_asks_in_a_line(served: Served, nano: Nano) -> None:
    with Client(f"http://127.0.0.1:{served.port}") as client:
        assert client.ready()
        assert client.metadata("nano", "1")["versions"] == ["1"]
        logits = client.infer("nano", nano.rows[:5]).astype(np.float32)
        np.testing.assert_allclose(logits, nano.want[:5], rtol=0, atol=1e-4)
        assert [guess.label for guess in client.classify(PICTURE, model="nano", top=1)] == ["3"]
        with pytest.raises(RefusedError, match="unknown model 'nothing'") as caught:
            client.infer("nothing", nano.rows)
        assert caught.value.status == 404
    with Client("http://127.0.0.1:1") as client:
        assert not client.ready()
        with pytest.raises(ToolchainError, match="is a server there"):
            client.classify(b"")


REFUSED = [
    ("POST", "/v2/models/nothing/infer", b'{"inputs": [{}]}', 400, "name: expected"),
    ("POST", "/v2/models/nothing/infer", tensor_request(np.zeros((1, 1))), 404, "unknown model 'nothing'; served are"),
    ("GET", f"/v2/models/{'n' * 300}", None, 404, f"unknown model '{'n' * 120}...'; served are"),
    ("GET", f"/v2/models/nano/versions/{'7' * 300}", None, 404, f"unknown version '{'7' * 120}...' of nano, which"),
    ("GET", f"/{'n' * 300}", None, 404, f"/{'n' * 119}...: no such path"),
    (
        "POST",
        INFER,
        tensor_request(np.zeros((1, 3, 96, 96)), outputs=[{"name": "n" * 300}]),
        400,
        f"unknown output '{'n' * 120}...'; expected logits",
    ),
    ("POST", INFER, one_input(name="n" * 300), 400, f"{'n' * 120}; expected image"),
    (
        "POST",
        "/v2/models/nano-pictures/infer",
        one_input(name="n" * 300),
        400,
        f"{'n' * 120}... FP32[1]; expected picture BYTES[N]",
    ),
    ("POST", INFER, b"{", 400, "no JSON"),
    ("POST", INFER, b'{"inputs": [NaN]}', 400, "no JSON"),
    ("POST", INFER, tensor_request(np.zeros((1, 3, 5, 5))), 400, "expected image FP32[N, 3, 96, 96]"),
    ("POST", INFER, tensor_request(np.zeros((0, 3, 96, 96))), 400, "expected image FP32[N, 3, 96, 96]"),
    ("POST", INFER, one_input(datatype="FP9", shape=[1]), 400, "FP9"),
    ("POST", INFER, one_input(datatype="FP32", shape=[-1]), 400, "shape"),
    (
        "POST",
        INFER,
        one_input(datatype="FP32", shape=[2]),
        400,
        "values: 1; FP32[2] has 2: send as many; nano takes image",
    ),
    (
        "POST",
        INFER,
        one_input(name="x", datatype="FP32", shape=[9]),
        400,
        "nano takes image FP32[N, 3, 96, 96], pictures to",
    ),
    (
        "POST",
        INFER,
        one_input(datatype="FP32", shape=[2], data=["a", [2]]),
        400,
        "its data are not FP32; expected a list",
    ),
    (
        "POST",
        INFER,
        one_input(datatype="INT8", shape=[1], data=[300]),
        400,
        "its data are not INT8: one is out of its range",
    ),
    (
        "POST",
        "/v2/models/nano-pictures/infer",
        one_input(name="picture", datatype="BYTES", shape=[2], data=["aGVs"]),
        400,
        "picture: values: 1; BYTES[2] has 2: send as many",
    ),
    ("POST", "/v2/models/maps/infer", tensor_request(np.zeros((1, 1))), 400, "expected image FP32[N, 3, 96, 96]"),
    ("GET", "/v2/models/nano/versions/7", None, 404, "unknown version '7' of nano, which has 1"),
    ("POST", "/classify?model=nano&version=3", PICTURE.read_bytes(), 404, "unknown version '3' of nano, which has 1"),
    (
        "POST",
        INFER,
        one_input(datatype="FP32", shape=[1, 3, 96, 96], data=[None] * 27648),
        400,
        "holds NaN or infinity",
    ),
    (
        "POST",
        INFER,
        one_input(datatype="FP32", shape=[1, 3, 96, 96], data=[1e300] * 27648),
        400,
        "holds NaN or infinity",
    ),
    ("POST", "/classify", b"no picture", 400, "what was sent: not a picture"),
    ("POST", "/classify", b"", 400, "what was sent: is empty"),
    *(
        ("POST", f"/classify?top={quote(top)}", PICTURE.read_bytes(), 400, f"top {top}; expected a whole number")
        for top in ("x", "2.0", "+2", "1_0", "\u0662", " 2", "0", "1001")
    ),
    *(
        ("POST", INFER, one_input(parameters={"timeout": wrong}), 400, "expected whole microseconds")
        for wrong in (True, False, "1", 1.5, -1)
    ),
    ("POST", "/classify", bytes(50 * 2**20), 413, "at most 2 MiB"),
    ("GET", "/nothing", None, 404, "no such path"),
    ("GET", "/classify", None, 405, "GET is not for this path; expected POST"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REFUSED)
def test_what_is_refused_says_why(
    served: Served, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    got = served.ask(method, path, body)
    assert (got.status, words in str(got.json["error"])) == (status, True), got.body
    assert not re.search("reshape|maps-pictures|out of bounds|Padding", str(got.json["error"]))


def test_what_is_compressed_is_refused_whole(served: Served, nano: Nano) -> None:
    body = gzip.compress(tensor_request(nano.rows[:1]))
    for path, sent in ((INFER, body), ("/classify", body), ("/classify", bytes(2**22))):
        for encoding in ("gzip", "deflate", "rot13"):
            got = served.ask("POST", path, sent, {"Content-Encoding": encoding})
            assert (got.status, got.json["error"].split(":")[0]) == (415, f"Content-Encoding {encoding}")
            assert got.headers["Accept-Encoding"] == "identity"
    for plain in ("identity", "Identity", ""):
        assert served.ask("POST", INFER, tensor_request(nano.rows[:1]), {"Content-Encoding": plain}).status == 200


def test_more_pictures_than_may_ever_wait_are_no_matter_of_time(served: Served) -> None:
    entry = {"name": "picture", "datatype": "BYTES", "shape": [257], "data": [""] * 257}
    got = served.ask("POST", "/v2/models/nano-pictures/infer", json.dumps({"inputs": [entry]}).encode())
    assert (got.status, "Retry-After" in got.headers) == (413, False), got.body
    assert "257 pictures; expected at most 256" in got.json["error"]


def test_what_is_no_http_is_a_line_of_the_log(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(b"junk\r\n\r\n")
        assert b"this is no request of HTTP/1.1" in connection.recv(65536)  # the fixture's end looks at the lines


def test_a_number_of_any_length_is_no_bug_of_ours(served: Served, nano: Nano) -> None:
    got = served.ask("POST", INFER, b"{}", {"Inference-Header-Content-Length": "9" * 6000})
    assert (got.status, "expected the number of bytes of JSON" in str(got.json["error"])) == (400, True)
    asked = {"name": "image", "datatype": "FP32", "shape": [1, 3, 96, 96], "data": nano.rows[0].ravel().tolist()}
    whole = json.dumps({"inputs": [asked], "parameters": {"timeout": 10**18}})
    assert served.ask("POST", INFER, whole.replace(str(10**18), str(10**400)).encode()).status in (200, 400)
    assert served.ask("POST", INFER, whole.encode()).status == 200


def test_a_picture_of_too_many_pixels_is_refused(served: Served) -> None:
    # A PNG of 30,000 x 30,000 pixels in 57 bytes.
    head = struct.pack(">II2B3x", 30000, 30000, 8, 2)
    chunks = [
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
        for n, d in ((b"IHDR", head), (b"IDAT", b""))
    ]
    got = served.ask("POST", "/classify", b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert got.status == 400
    assert "too many pixels" in str(got.json["error"])


def test_the_page_asks_no_other_host(served: Served) -> None:
    got = served.ask("GET", "/")
    page = got.body.decode()
    assert '["neonext_nano", "nano"]' in page
    assert not re.search(r"https?://|//[a-z]", page.replace("// ", ""))
    assert "default-src 'none'" in got.headers["Content-Security-Policy"]


def test_sigterm_and_sighup_lose_no_request(nano: Nano, tmp_path: Path) -> None:
    link = tmp_path / os.fsdecode(b"lat\xe8st.onnx")
    link.write_bytes(nano.one.read_bytes())
    link.with_suffix(".json").write_bytes(nano.one.with_suffix(".json").read_bytes())
    seen: Counter[int | str] = Counter()
    body = tensor_request(nano.rows[:1])
    with serving(f"nano={link}") as up:
        ending, told = threading.Event(), math.inf

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=900)
            while True:
                sent = math.inf
                try:
                    connection.request("POST", INFER, body)
                    sent = time.monotonic()
                    got = connection.getresponse()  # one that came in time is answered
                except (ConnectionRefusedError, BrokenPipeError, ConnectionResetError):
                    assert ending.is_set()
                    assert sent > told + LINGER
                    return  # it was never taken
                data = json.loads(got.read())
                seen[got.status] += 1
                if got.status != 200:
                    assert (got.status, data["error"]) == (503, "the server is ending; ask another")
                    assert ending.is_set()
                    return
                values = data["outputs"][0]["data"]
                seen["right" if np.allclose(values, nano.want[0], rtol=0, atol=1e-4) else "wrong"] += 1

        # What fails in a thread is pytest's warning, which is an error.
        clients = [threading.Thread(target=client) for _ in range(6)]
        for thread in clients:
            thread.start()
        up.process.send_signal(signal.SIGHUP)
        time.sleep(3)
        before = seen[200]
        ending.set()
        told = time.monotonic()
        assert up.end() == 0
        for thread in clients:
            thread.join()
        assert seen[200] >= before > 0
        assert seen["right"] == seen[200]
        assert "wrong" not in seen


def changed(one: Path, folder: Path, change: object) -> Path:
    """The file with its first square matrix changed, and its manifest as it was."""
    model = onnx.load(str(one))
    matrices = [t for t in model.graph.initializer if len(t.dims) >= 2 and t.dims[-1] == t.dims[-2] and t.dims[-1] > 3]
    values = numpy_helper.to_array(matrices[0]).copy()
    assert callable(change)
    matrices[0].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(values)), matrices[0].name))
    path = folder / one.name
    onnx.save(model, str(path))
    path.with_suffix(".json").write_bytes(one.with_suffix(".json").read_bytes())
    return path


def test_maps_have_a_name_of_their_own_and_are_no_version_of_classes(nano: Nano, maps: Path) -> None:
    models = read_models([str(nano.one), str(nano.free), str(maps)])
    assert models.titles == ["neonext_nano (versions 1, 2)", "neonext_nano-features"]
    with pytest.raises(UsageError, match=r"stage4, and .* logits: no versions of one model x"):
        read_models([f"x={nano.one}", f"x={maps}"])


def transposed(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.swapaxes(matrix, -1, -2)


@pytest.mark.parametrize(
    ("change", "restamped", "words"),
    [
        (transposed, False, "noise, batch 1: differs by"),
        # As if the compiler had made it so: the manifest vouches for the file, its answers do not.
        (transposed, True, "exported: batch 1: differs by"),
        # Far below any bound of the answers.
        (lambda matrix: matrix * np.float32(1 + 2e-7), False, "is not the one that was exported"),
    ],
    ids=["transposed", "restamped", "hidden"],
)
def test_a_wrong_artifact_never_becomes_ready(
    nano: Nano, tmp_path: Path, change: object, restamped: bool, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"mod\xe8les")
    folder.mkdir()
    path = changed(nano.one, folder, change)
    if restamped:
        manifest = path.with_suffix(".json")
        manifest.write_text(manifest.read_text().replace(sha256_of(nano.one), sha256_of(path)))
    assert run(["serve", str(path), "--port", "0"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert f"mod\\xe8les/{path.name}: not served, it answers otherwise than when it was exported" in said.err
    assert words in said.err


def test_wrong_maps_never_become_ready(maps: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = changed(maps, tmp_path, transposed)
    manifest = path.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace(sha256_of(maps), sha256_of(path)))
    assert run(["serve", str(path), "--port", "0"]) == 1
    assert "stage1 of noise" in capfd.readouterr().err


def test_a_port_that_another_has_is_told_at_once(nano: Nano, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", str(nano.one), "--port", port]) == 5
        words = "cannot listen there: Address already in use; take another"
        assert f"127.0.0.1:{port}: {words} --port" in capfd.readouterr().err
        # Before anything is opened: there is no such file.
        assert run(["serve", "absent.onnx", "--port", "0", "--grpc-port", port]) == 5
        assert f"127.0.0.1:{port}: {words} --grpc-port" in capfd.readouterr().err
    assert run(["serve", "absent.onnx", "--port", port, "--grpc-port", port]) == 2
    assert f"--grpc-port {port}: is --port as well" in capfd.readouterr().err
    for host in ("a..b", 64 * "a", "."):
        assert run(["serve", "absent.onnx", "--host", host]) == 5
        assert f"{host}:8000: cannot listen there: no name of a host; take another" in capfd.readouterr().err


def test_what_ends_a_server_at_its_start_ends_grpc_as_well(nano: Nano) -> None:
    def ready(_: Started) -> None:
        raise KeyboardInterrupt

    log = Events()
    with contextlib.suppress(KeyboardInterrupt):  # its traceback, kept, would keep what was left running
        serve_until_told([str(nano.one)], Settings(port=0, grpc_port=0, threads=1), log, ready)
    gc.collect()  # that would be told now
    assert log.seen["device ready"] == 1
    assert log.seen["ended"] == 0


def test_whoever_started_it_need_not_listen(nano: Nano) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "neonext_ascend", "serve", str(nano.one), "--port", "0"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, text=True) as process:
        os.close(writing)
        assert process.stderr is not None
        try:
            lines = (json.loads(line) for line in process.stderr)
            url = next(line["url"] for line in lines if line["event"] == "ready")
            with Client(url) as client:
                assert client.ready()
            process.terminate()
            assert [line["event"] for line in lines] == ["draining", "ended"]
            assert process.wait(120) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "prometheus_client", "grpc"])
def test_a_missing_extra_is_named(
    nano: Nano, library: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    forget(monkeypatch, "neonext_ascend.serving", f"{library}.")
    monkeypatch.setitem(sys.modules, library, None)
    assert run(["serve", str(nano.one), "--port", "0", "--grpc-port", "0"]) == 3
    said = capfd.readouterr().err
    assert f"serve needs {library}" in said
    assert "pip install '.[serve]' in the checkout" in said


def test_an_api_key_keeps_others_out(nano: Nano, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-key-of-ours\n")
    with serving(nano.one, "--api-key-file", tmp_path / "key") as up:
        assert up.ask("GET", "/v2/health/ready").status == 200
        assert up.ask("GET", "/").status == 200
        assert up.ask("GET", "/v2").status == 401
        assert up.ask("GET", "/v2", None, {"X-API-Key": "a-key-of-theirs"}).status == 401
        ours = {"Authorization": "Bearer a-key-of-ours"}
        assert up.ask("GET", "/v2", None, ours).status == 200
        for name in ("nothing", "else"):
            assert up.ask("GET", f"/v2/models/{name}", None, ours).status == 404
        counts = up.ask("GET", "/metrics", None, ours).body.decode()
        # Under no name, whichever a stranger asks for.
        for status in ("401", "404"):
            assert f'neonext_requests_total{{model="",status="{status}",version=""}} 2.0' in counts
        assert "nothing" not in counts
        assert 'neonext_device_restarts_total{device="0"} 0.0' in counts
        # The device's process ends with the server, however that ends.
        (child,) = up.devices()
        up.process.kill()
        up.process.wait(60)
        for _ in range(3000):
            if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().rsplit(")")[1][:3]:
                return
            time.sleep(0.02)
        raise AssertionError


@pytest.mark.skipif(shutil.which("openssl") is None, reason="nothing here makes a certificate")
def test_tls_is_spoken_where_it_is_asked_for(nano: Nano, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    with serving(nano.one, "--tls-cert", cert, "--tls-key", key, "--grpc-port", 0) as up:
        assert up.said.startswith("neonext_nano at https://")
        with Client(f"https://127.0.0.1:{up.port}", certificate=cert) as client:
            assert [guess.label for guess in client.classify(PICTURE, top=1)] == ["3"]
        with Client(f"https://127.0.0.1:{up.port}") as stranger:
            assert not stranger.ready()
            with pytest.raises(ToolchainError, match="give its certificate, if you trust it"):
                stranger.server()
        with Client(f"http://127.0.0.1:{up.port}") as plainly, pytest.raises(ToolchainError, match="one of https"):
            plainly.server()
        import grpc

        with grpc.secure_channel(str(up.grpc), grpc.ssl_channel_credentials(cert.read_bytes())) as channel:
            ask = channel.unary_unary(f"/{SERVICE}/ServerLive", bytes, MESSAGES["ServerLiveResponse"].FromString)
            assert ask(b"", timeout=30).live is True
        # A handshake that fails is no line in another form.
        with socket.create_connection(("127.0.0.1", int(str(up.grpc).rsplit(":", 1)[1])), timeout=30) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):  # closed with something unread
                while plain.recv(65536):
                    pass


def test_the_descriptor_is_the_sources() -> None:
    from tools.write_protocol import FOLDER, RESULT, compiled

    assert (FOLDER / RESULT).read_bytes() == compiled()
