"""Every argument of every job, given what it cannot be: our error, which names it; and numpy's numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neonext_ascend import jobs
from neonext_ascend.errors import NeoNextError, UsageError

OBJECT = object()
# What no argument of the kind can be.
NOT_A_PATH = [3, 2.5, True, b"x", "", "\0", [], ["x"], {}, OBJECT]
NOT_PATHS = [3, 2.5, True, b"x", "", [], [3], [""], {}, {"x"}, OBJECT]
NOT_WHOLE = ["3", 2.5, True, -1, [], [1], np.array([1.5]), float("nan"), OBJECT]
NOT_WHOLES = [3, "3", [], [2.5], [True], [0], [-1], {}, OBJECT]
NOT_A_NUMBER = ["3", True, float("nan"), float("inf"), -1.0, [], OBJECT]
NOT_A_WORD = [3, "nonsense", "", [], b"x", True, OBJECT]
NOT_A_MODEL = [3, "", [], b"x", True, "neonext_x", OBJECT]
NOT_A_FLAG = ["yes", 1, None, [], OBJECT]
NOT_A_SIZE = ["96", 2.5, True, 0, -1, [], [96], [96, 96, 96], [96, 2.5], {}, OBJECT]
NOT_TEXTS = [3, "x", [3], [""], {}, OBJECT]
NOT_A_WATCH = [3, print, OBJECT]
SIMPLE = {
    "model": NOT_A_MODEL,
    "config": NOT_A_PATH,
    "checkpoint": NOT_A_PATH,
    "image_size": NOT_A_SIZE,
    "num_classes": [*NOT_WHOLE, 0],
    "seed": NOT_WHOLE,
    "runtime": NOT_A_WORD,
    "device": [*NOT_WHOLE, 1024],
    "layout": NOT_A_WORD,
    "lowering": NOT_A_WORD,
    "gelu": NOT_A_WORD,
    "features": NOT_A_WORD,
    "dtype": NOT_A_WORD,
    "reference": NOT_A_WORD,
    "precision": NOT_A_WORD,
    "plot": NOT_A_PATH,
    "against": NOT_A_PATH,
    "artifact": NOT_A_PATH,
    "artifacts": NOT_PATHS,
    "watch": NOT_A_WATCH,
    "batch_size": [*NOT_WHOLE, 0],
    "output": NOT_A_PATH,
    "labels": NOT_A_PATH,
    "per_class": NOT_A_FLAG,
    "ray": [3, "", b"x", [], True, OBJECT],
}
JOBS: dict[str, dict[str, list[Any]]] = {
    "export": {
        "image_sizes": [96, "96", [], [2.5], [[96]], {}, OBJECT],
        "opset": ["17", 17.5, True, 10, 19, None, OBJECT],
        "om": [3, "Ascend310P3", {}, OBJECT],
        "int8": [3, "pictures", {}, OBJECT],
        "triton": [3, "models", {}, OBJECT],
        "labels": [3, "", "\0", b"x", ["one"], [3] * 10, [""] * 10, dict.fromkeys("0123456789"), OBJECT],
        "verify": NOT_A_FLAG,
        "rescue": NOT_A_FLAG,
        "gate": NOT_A_PATH,
        "max_drop": [*NOT_A_NUMBER, 101],
        "command": NOT_TEXTS,
        "keep_fp32": NOT_TEXTS,
        "config": NOT_A_PATH,
    },
    "verify": {"subject": NOT_A_MODEL, "accumulation": NOT_A_WORD, "atol": NOT_A_NUMBER, "rtol": NOT_A_NUMBER},
    "debug": {"seed": [*NOT_WHOLE, 2**32]},
    "report": {"data": NOT_A_PATH, "benchmark": NOT_A_FLAG},
    "quantise": {"int8": [3, "pictures", {}, None, OBJECT]},
    "rescue_nodes": {"seed": [*NOT_WHOLE, 2**32], "soc_version": [3, "", [], b"x", "nonsense", OBJECT]},
    "ladder": {"subject": NOT_A_MODEL},
    "inspect": {
        "subject": [3, "", [], b"x", True, "neonext_x", OBJECT],
        "soc_version": [3, "", None, [], b"x", "nonsense", OBJECT],
        "batch_sizes": NOT_WHOLES,
        "memory": NOT_A_NUMBER,
        "measured": NOT_A_PATH,
    },
    "predict": {"images": NOT_PATHS, "top": [*NOT_WHOLE, 0], "resume": NOT_A_PATH},
    "evaluate": {
        "dataset": NOT_A_PATH,
        "max_drop": [*NOT_A_NUMBER, 101],
        "resume": NOT_A_PATH,
        "differing": NOT_A_PATH,
    },
    "benchmark": {
        "threads": [*NOT_WHOLE, 0, 1025],
        "seconds": [*NOT_A_NUMBER, 0],
        "repeats": [*NOT_WHOLE, 0],
        "sittings": [*NOT_WHOLE, 0],
        "counting": [3, "x", OBJECT],
        "artifacts": [*NOT_PATHS, "neonext_nano", Path("x.onnx")],
    },
    "list_models": {},
    "train": {
        "data": NOT_A_PATH,
        "num_classes": [*NOT_WHOLE, 0, 1],
        "recipe": NOT_A_PATH,
        "settings": [3, "epochs", [], {3: 4}, OBJECT],
        "resume": NOT_A_PATH,
        "device": NOT_A_WORD,
        "workers": [*NOT_WHOLE, 257],
        "keep": [*NOT_WHOLE, 0],
        "save_every": NOT_WHOLE,
        "log_every": [*NOT_WHOLE, 0],
        "look_every": NOT_WHOLE,
        "tensorboard": NOT_A_FLAG,
    },
    "serve": {
        "host": [3, "", b"x", None, OBJECT],
        "port": [*NOT_WHOLE, 65536],
        "grpc_port": [*NOT_WHOLE, 65536],
        "max_delay_ms": [*NOT_A_NUMBER, 10001],
        "devices": [3, "0", [], [-1], [2.5], [True], {}, OBJECT],
        "threads": [*NOT_WHOLE, 1025],
        "queue": [*NOT_WHOLE, 0],
        "timeout": [*NOT_A_NUMBER, 0],
        "max_body_mib": [*NOT_WHOLE, 0],
        "drain": [*NOT_A_NUMBER, 0],
        "api_key_file": NOT_A_PATH,
        "tls_cert": NOT_A_PATH,
        "tls_key": NOT_A_PATH,
        "traces": NOT_A_FLAG,
        "started": [3, "x", OBJECT],
        "artifacts": [*NOT_PATHS, "x.onnx", Path("x.onnx")],
    },
    "check_data": {"data": NOT_A_PATH, "held_out": [*NOT_A_NUMBER, 1.0]},
}
OM = {
    "soc_version": [3, "", None, [], "nonsense", OBJECT],
    "precision": NOT_A_WORD,
    "batch_gears": [3, "4", [2.5], [True], [0], {}, OBJECT],
    "aipp": NOT_A_FLAG,
    "keep_fp32": NOT_TEXTS,
    "atc_args": NOT_TEXTS,
    "dry_run": NOT_A_FLAG,
    "bundle": NOT_A_PATH,
    "time_limit_s": [*NOT_A_NUMBER, 0, None],
}
TRITON = {
    "repository": NOT_A_PATH,
    "batch_gears": OM["batch_gears"],
    "precision": NOT_A_WORD,
    "soc_version": [3, "", [], "nonsense", OBJECT],
}
# What a call needs beside the argument that is tried.
BESIDE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "export": lambda folder: {"model": "neonext_nano", "verify": False, "output": folder / "out"},
    "verify": lambda _: {"subject": "neonext_nano"},
    "debug": lambda folder: {"artifact": folder / "absent.onnx"},
    "report": lambda folder: {"artifact": folder / "absent.onnx"},
    "quantise": lambda folder: {"artifact": folder / "absent.onnx", "int8": jobs.Int8Request(folder)},
    "rescue_nodes": lambda folder: {"artifact": folder / "absent.onnx"},
    "ladder": lambda _: {"subject": "neonext_nano"},
    "inspect": lambda _: {"subject": "neonext_nano", "soc_version": "Ascend310P3"},
    "predict": lambda folder: {"artifact": folder / "absent.onnx", "images": folder},
    "evaluate": lambda folder: {"artifacts": [folder / "a.onnx", folder / "b.onnx"], "dataset": folder},
    "benchmark": lambda folder: {"artifacts": [folder / "absent.onnx"]},
    "list_models": lambda _: {},
    "train": lambda folder: {"model": "neonext_nano", "data": folder, "output": folder / "out"},
    "check_data": lambda folder: {"data": folder},
    "serve": lambda folder: {"artifacts": [folder / "absent.onnx"]},
}


def cases() -> list[tuple[str, str]]:
    return [(job, argument) for job in JOBS for argument in inspect.signature(getattr(jobs, job)).parameters]


@pytest.mark.parametrize(("job", "argument"), cases(), ids=map("-".join, cases()))
def test_what_an_argument_cannot_be_is_told_by_its_name(job: str, argument: str, tmp_path: Path) -> None:
    wrong = JOBS[job].get(argument) or SIMPLE[argument]
    beside = BESIDE[job](tmp_path)
    if argument == "config":
        beside.pop("model", beside.pop("subject", None))
    for value in wrong:
        with pytest.raises(NeoNextError) as caught:
            getattr(jobs, job)(**{**beside, argument: value})
        assert caught.value.exit_code == 2, value
        said = str(caught.value).lower().replace("-", "_")
        assert argument in said or argument.replace("_", " ") in said or "neonext_x" in said, said
        assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", OM)
def test_a_request_of_an_om_is_held_to_its_kinds(field: str, tmp_path: Path) -> None:
    assert set(OM) == set(inspect.signature(jobs.OmRequest).parameters)
    for value in OM[field]:
        request = jobs.OmRequest(**dict[str, Any]({"soc_version": "Ascend310P3", "dry_run": True, field: value}))
        with pytest.raises(UsageError):
            jobs.export("neonext_nano", output=tmp_path, om=request)


@pytest.mark.parametrize("field", TRITON)
def test_a_request_of_tritons_model_is_held_to_its_kinds(field: str, tmp_path: Path) -> None:
    assert set(TRITON) == set(inspect.signature(jobs.TritonRequest).parameters)
    for value in TRITON[field]:
        request = jobs.TritonRequest(**dict[str, Any]({"repository": tmp_path / "models", field: value}))
        with pytest.raises(UsageError):
            jobs.export("neonext_nano", output=tmp_path / "out", triton=request)
    assert list(tmp_path.iterdir()) == []


def test_numpys_numbers_are_numbers_and_paths_are_texts(tmp_path: Path) -> None:
    made = jobs.export(
        "neonext_nano",
        image_size=np.array([96, 96]),  # type: ignore[arg-type] # numpy's
        batch_size=np.int64(2),  # type: ignore[arg-type] # numpy's
        seed=np.uint8(0),  # type: ignore[arg-type] # numpy's
        verify=np.bool_(False),  # type: ignore[arg-type] # numpy's
        labels=[f"digit {number}" for number in range(10)],
        output=str(tmp_path),
    )
    assert made.onnx.manifest.inputs[0].shape == (2, 3, 96, 96)
    assert made.onnx.manifest.labels[3] == "digit 3"


def test_a_word_that_is_no_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        jobs.export(nonsense=3)  # type: ignore[call-arg] # on purpose
