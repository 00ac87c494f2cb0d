"""A client that is not ours against our server: Triton's, over HTTP and gRPC, in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from neonext_ascend.runtimes.registry import open_runner
from tests.environments.environment import Environment
from tests.support.serving import serving

CLIENT = "tritonclient[http,grpc]==2.73.0"
CODE = """
import numpy as np
import tritonclient.{kind} as client
from pathlib import Path

picture = Path({picture!r}).read_bytes()
rows = np.random.RandomState(3).standard_normal((3, 3, 96, 96)).astype("f4")
served = client.InferenceServerClient({address!r})
assert served.is_server_live() and served.is_server_ready()
assert served.is_model_ready("nano") and served.is_model_ready("nano", "1")


def plain(message):
    if isinstance(message, dict):
        return message
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message)


assert plain(served.get_server_metadata())["name"] == "neonext-ascend"
described = plain(served.get_model_metadata("nano"))
assert described["versions"] == ["1"], described
assert [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in described["inputs"]] == [
    ("image", "FP32", [-1, 3, 96, 96])
], described


def image(binary):
    made = client.InferInput("image", rows.shape, "FP32")
    made.set_data_from_numpy(rows, **({{"binary_data": binary}} if {kind!r} == "http" else {{}}))
    return made


answers = []
for binary in (True, False):
    wanted = client.InferRequestedOutput("logits", **({{"binary_data": binary}} if {kind!r} == "http" else {{}}))
    answers.append(served.infer("nano", [image(binary)], outputs=[wanted], request_id="7").as_numpy("logits"))
answers.append(served.infer("nano", [image(True)], model_version="1").as_numpy("logits"))
assert all(a.shape == (3, 10) and a.dtype == np.float32 for a in answers)
assert max(np.abs(a - answers[0]).max() for a in answers) < 1e-4
print("logits", " ".join(f"{{value:.6f}}" for value in answers[0].ravel()))

given = client.InferInput("picture", [2], "BYTES")
given.set_data_from_numpy(np.array([picture, picture], dtype=object))
found = served.infer("nano-pictures", [given])
assert found.as_numpy("label").astype(str)[:, 0].tolist() == ["3", "3"]
assert found.as_numpy("index")[0, 0] == 3 and found.as_numpy("score")[0, 0] > 0.9

for model, inputs, words in (("nothing", [image(True)], "unknown model"), ("nano", [given], "expected image FP32")):
    try:
        served.infer(model, inputs)
    except client.InferenceServerException as error:
        assert words in str(error), error
    else:
        raise AssertionError(model)
"""


def make(folder: Path) -> Environment:
    """Install it; of this project nothing is needed there."""
    environment = Environment(folder)
    environment.install(CLIENT)
    return environment


def steps(environment: Environment) -> dict[str, Callable[[], object]]:
    """In order, by name."""
    return {kind: partial(converse, environment, kind) for kind in ("http", "grpc")}


def converse(environment: Environment, kind: str) -> None:
    """Metadata, readiness, tensors, pictures and errors; the logits are the runner's."""
    path = jobs.export("neonext_nano", batch_size="dynamic", output=environment.folder / kind).onnx.path
    with serving(f"nano={path}", "--grpc-port", 0) as up:
        address = f"127.0.0.1:{up.port}" if kind == "http" else str(up.grpc)
        code = CODE.format(kind=kind, picture=str(sample_pictures()[3]), address=address)
        said = environment.python(code).expect(0, "logits").out
    rows = np.random.RandomState(3).standard_normal((3, 3, 96, 96)).astype(np.float32)
    with open_runner(path) as runner:
        want = runner.infer({"image": rows})["logits"].astype(np.float64)
    got = np.array([float(word) for word in said.split()[1:]]).reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
