"""The real onnxruntime-cann without CANN: it lists its provider and computes on the CPU; that is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.environments.environment import Environment
from tests.environments.npu import ONNX
from tests.environments.versions import TORCHES

ORT_CANN = "onnxruntime-cann==1.24.4"
PICTURE = "from neonext_ascend.data import sample_pictures; print(sample_pictures()[0])"
FALLBACK = f"""\
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
assert "CANNExecutionProvider" in onnxruntime.get_available_providers()
session = onnxruntime.InferenceSession({ONNX!r}, providers=["CANNExecutionProvider"])
print("used:", session.get_providers())
"""


def make(folder: Path) -> Environment:
    """Install it; this project's own requirement, onnxruntime, would overwrite it."""
    environment = Environment(folder)
    environment.install(
        f"torch=={TORCHES[-1]}",
        ORT_CANN,
        "numpy<2",
        "onnx>=1.17",
        "click>=8.4",
        "safetensors",
        "pillow",
        "rich",
        "msgspec",
    )
    environment.install_project(dependencies=False)
    return environment


def steps(environment: Environment) -> dict[str, Callable[[], object]]:
    """In order, by name."""
    neonext = environment.neonext
    return {
        "doctor": partial(doctor, environment),
        "list": lambda: neonext("list").expect(0, "neonext_nano"),
        "export": lambda: neonext("export", "neonext_nano", "-o", ".").expect(0, ONNX),
        # Without this silence the next step would show nothing.
        "onnxruntime itself falls back silently": partial(fallback, environment),
        "verify --runtime cann exits 3": lambda: neonext("verify", ONNX, "--runtime", "cann").expect(
            3, "CANNExecutionProvider"
        ),
        "predict --runtime cann exits 3": partial(predict, environment),
        "verify FILE": lambda: neonext("verify", ONNX).expect(0),
    }


def doctor(environment: Environment) -> None:
    """One build, which lists its provider; that it is listed is not taken for working."""
    data = json.loads(environment.neonext("doctor", "--json").expect(0).out)
    found = {finding["name"]: finding for finding in data["findings"]}
    assert found["onnxruntime"]["status"] == "ok", found["onnxruntime"]
    assert found["onnxruntime"]["value"] == ORT_CANN.replace("==", " "), found["onnxruntime"]
    assert "CANNExecutionProvider" in found["providers"]["value"], found["providers"]
    assert "listed is not usable" in found["providers"]["value"], found["providers"]
    assert [a["ability"] for a in data["abilities"] if a["possible"]] == ["onnx"], data["abilities"]


def fallback(environment: Environment) -> None:
    """The trouble is real in this environment: no error, and the CPU."""
    environment.python(FALLBACK).expect(0, "used: ['CPUExecutionProvider']")


def predict(environment: Environment) -> None:
    """Another command refuses it as well; on the CPU the same file is fine."""
    picture = environment.python(PICTURE).expect(0).out.strip()
    environment.neonext("predict", ONNX, picture, "--runtime", "cann").expect(3, "CANNExecutionProvider")
    environment.neonext("predict", ONNX, picture).expect(0)
