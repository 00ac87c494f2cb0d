"""Triton's client against our server over HTTP and gRPC, and its description of a model against what we write."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from neonext_ascend import jobs
from neonext_ascend.data import sample_pictures
from tests.environments.conversation import KINDS, converse
from tests.environments.environment import Environment

HERE = Path(__file__).parent
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
    return {
        **{kind: partial(ask, environment, kind) for kind in KINDS},
        **{f"export --triton, {name}": partial(check_config, environment, name) for name in FORMS},
    }


def ask(environment: Environment, kind: str) -> None:
    """Metadata, readiness, tensors, pictures and errors; the logits are the runner's."""
    picture = str(sample_pictures()[3])
    code = partial(CODE.format, kind=kind, picture=picture)
    converse(environment.folder, kind, lambda address: environment.python(code(address=address)))


# Gears and what else is asked of export.
FORMS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "static": ((), {"batch_size": 2}),
    "free": ((), {"batch_size": "dynamic"}),
    "fp16": ((1, 2), {"dtype": "fp16"}),
    "maps": ((1, 2, 3), {"features": "nchw"}),
}


def check_config(environment: Environment, name: str) -> None:
    """What ``export --triton`` writes, read by Triton's own description: names, kinds, shapes, gears are the file's."""
    gears, asked = FORMS[name]
    folder = environment.folder / name
    request = jobs.TritonRequest(folder / "models", batch_gears=gears)
    jobs.export("neonext_nano", triton=request, verify=False, output=folder, **asked)
    (model,) = (folder / "models").iterdir()
    config = json.loads(environment.script(HERE / "triton_config.py", model / "config.pbtxt").expect(0).out)
    manifest = json.loads(next(model.glob("1/*.json")).read_text(encoding="utf-8"))
    most = config.get("max_batch_size", 0)
    for kind in ("input", "output"):
        written = [(t["name"], t["data_type"], list(map(int, t["dims"]))) for t in config[kind]]
        tensors = [(t["name"], t["dtype"], t["shape"]) for t in manifest[f"{kind}s"]]
        bits = {"float32": "TYPE_FP32", "float16": "TYPE_FP16"}
        assert written == [(n, bits[d], s[1:] if most else s) for n, d, s in tensors], written
    assert (config["name"], config["backend"]) == (model.name, "npu_ge")
    said = {key: value["string_value"] for key, value in config["parameters"].items()}
    assert ("static_model" in said, "dynamic_batching" in config) == (not most, bool(most)), said
    if most:
        assert said["graph.ge.dynamicDims"] == ";".join(map(str, range(1, most + 1)))
        assert max(config["dynamic_batching"]["preferred_batch_size"]) == most
