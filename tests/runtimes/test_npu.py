"""The torch_npu runner, against a stand-in device; what is missing is said before anything is computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.cli.main import run
from neonext_ascend.errors import ToolchainError
from neonext_ascend.machine.cann import Cann, Device
from neonext_ascend.machine.npu import import_failure, pairing
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.npu import NpuRunner, import_torch_npu
from neonext_ascend.spec import Dtype, Layout, TensorSpec
from tests.standins import torch_npu as standin

INPUTS, OUTPUTS = (TensorSpec("image", "float32", ("batch", 3, 96, 96)),), (TensorSpec("logits", "float32", (10,)),)


def nano() -> torch.nn.Module:
    return prepare(load("neonext_nano").network)[0]


def picture(batch: int = 2) -> dict[str, np.ndarray[Any, Any]]:
    return {"image": np.random.RandomState(0).standard_normal((batch, 3, 96, 96)).astype(np.float32)}


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 1e-6), ("fp16", 1e-2)])
@pytest.mark.parametrize("folded", [True, False])
def test_a_network_computes_on_the_device_and_fp32_comes_back(
    dtype: Dtype, bound: float, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.use(monkeypatch)
    network: torch.nn.Module = nano() if folded else load("neonext_nano").network.eval()
    with torch.inference_mode():
        expected = network(torch.from_numpy(picture()["image"])).numpy()
    with NpuRunner(network, INPUTS, OUTPUTS, dtype=dtype) as runner:
        assert f"on npu:0, {dtype}" in runner.where
        got = runner.infer(picture())["logits"]
    assert got.dtype == np.float32
    difference = np.abs(got - expected).max() / np.abs(expected).max()
    assert difference <= bound
    # fp16 that left no trace would be fp32.
    assert (difference > 1e-6) == (dtype == "fp16")


def test_a_new_shape_is_warmed_up_once_and_the_device_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch)
    runner = NpuRunner(nano(), INPUTS, OUTPUTS, warm_up=2)
    assert [call for call in standin.calls if not call.startswith("op ")] == ["set_device 0"]

    def passes(batch: int) -> int:
        standin.calls.clear()
        runner.infer(picture(batch))
        assert standin.calls[-2:] == ["synchronize", "op to"]
        return standin.calls.count("op linear")

    assert [passes(1), passes(1), passes(2), passes(1)] == [3, 1, 3, 1]


@pytest.mark.parametrize("layout", ["nchw", "chnw"])
def test_graph_mode_is_one_graph_for_each_shape_and_computes_the_same(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.use(monkeypatch)
    standin.use_graphs()
    results = []
    for graph in (False, True):
        network = prepare(load("neonext_nano").network, layout=layout)[0]
        with NpuRunner(network, INPUTS, OUTPUTS, dtype="fp32", graph=graph) as runner:
            assert runner.where.endswith("fp32, graph mode" if graph else "fp32")
            for batch, graphs in ((2, 1), (2, 1), (3, 2)):
                results.append(runner.infer(picture(batch))["logits"])
                assert standin.calls.count("graph on npu:0") == graphs * graph
    for eager, compiled in zip(results[:3], results[3:], strict=True):
        np.testing.assert_array_equal(compiled, eager)


def test_what_the_device_refuses_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch, linear=RuntimeError("the operator\nis unknown"))
    with pytest.raises(ToolchainError, match="npu:0: torch_npu cannot run the network: the operator is unknown"):
        NpuRunner(nano(), INPUTS, OUTPUTS).infer(picture())


@pytest.mark.parametrize(
    ("answers", "words"),
    [({"is_available": False}, "finds no NPU"), ({"device_count": 2}, "npu:2 is not there: torch_npu sees 2")],
)
def test_an_absent_device_is_an_error(answers: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch, **answers)
    with pytest.raises(ToolchainError, match=words):
        NpuRunner(nano(), INPUTS, OUTPUTS, device=2)


def test_a_310b_is_sent_to_an_om(monkeypatch: pytest.MonkeyPatch) -> None:
    standin.use(monkeypatch)
    monkeypatch.setattr("neonext_ascend.runtimes.npu.find_cann", lambda: Cann(devices=(Device(0, "310B1"),)))
    with pytest.raises(ToolchainError, match=r"no aclnnMatmul.*--format om --soc-version Ascend310B1"):
        NpuRunner(nano(), INPUTS, OUTPUTS)
    assert standin.calls == []


@pytest.mark.parametrize("kind", [ImportError, OSError, RuntimeError])
def test_whatever_the_import_raises_is_an_error_in_words(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torch_npu":
                raise kind("libhccl.so: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr("neonext_ascend.runtimes.npu._version", lambda name: torch.__version__)
    with pytest.raises(ToolchainError, match=r"needs CANN's libhccl\.so, which is missing"):
        import_torch_npu()


MISSING = "{}: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("text", "torch_version", "npu_version", "words"),
    [
        ("No module named 'torch_npu'", "2.9.0+cpu", None, "is not installed.*torch_npu 2.9.0.* with CANN 8.5.0"),
        ("No module named 'torch_npu'", "2.13.0", None, r"torch_npu==2\.13\.0\.\* for torch 2\.13\.0"),
        (MISSING.format("libascend_hal.so"), "2.9.0", "2.9.0", r"libascend_hal\.so of the NPU's driver"),
        (MISSING.format("libhccl.so"), "2.9.0+cpu", "2.9.0.post2", r"CANN's libhccl\.so.*set_env\.sh"),
        (MISSING.format("libhccl.so"), "2.10.0", "2.9.0", "goes with torch 2.9.0, not with torch 2.10.0: install"),
        ("undefined symbol: x", "2.9.0", "2.9.0", "does not import: undefined symbol: x"),
    ],
)
def test_a_failed_import_says_what_is_missing(
    text: str, torch_version: str, npu_version: str | None, words: str
) -> None:
    message = import_failure(text, torch_version, npu_version)
    assert "\n" not in message
    with pytest.raises(ToolchainError, match=words):
        raise ToolchainError(message)


@pytest.mark.parametrize(
    ("torch_version", "npu", "cann", "state", "words"),
    [
        ("2.9.0+cpu", "2.9.0.post2", "9.0.0", "match", "CANN 9.0.0 fit"),
        ("2.9.0", "2.9.0", None, "match", "goes with CANN 8.5.0"),
        ("2.9.0", "2.9.0.post2", "9.0.1", "unknown", "known to go with CANN 9.0.0; here is CANN 9.0.1"),
        ("2.9.0", "2.9.0", "9.1.0", "mismatch", "torch_npu==2.9.0.post6"),
        ("2.5.1", "2.5.1", "9.1.0", "mismatch", "install CANN 8.1.RC1"),
        ("2.13.0+cpu", "2.13.0", "9.1.0", "unknown", "no CANN version is known for torch_npu 2.13.0"),
        ("2.9.0", "2.8.0.post4", "9.0.0", "mismatch", "install torch==2.8.0"),
    ],
)
def test_pairs_are_judged(torch_version: str, npu: str, cann: str | None, state: str, words: str) -> None:
    found = pairing(torch_version, npu, cann)
    assert found.state == state
    assert words in f"{found.words}: {found.remedy}"


@pytest.mark.parametrize(("own", "expected"), [(None, "0"), ("1", "1")])
def test_importing_the_package_keeps_torch_npu_quiet_but_not_against_the_users_word(
    own: str | None, expected: str
) -> None:
    name = "TORCH_DEVICE_BACKEND_AUTOLOAD"
    environ = {key: value for key, value in os.environ.items() if key != name}
    code = f"import neonext_ascend.spec, os, sys; print(os.environ[{name!r}], 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ if own is None else {**environ, name: own},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [expected, "False"]


def test_a_model_is_verified_on_the_device(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    standin.use(monkeypatch)
    assert run(["verify", "neonext_nano", "--runtime", "npu", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert "on npu:0, fp16" in report["runtime"]
    assert report["parity"]["passed"]


def test_without_torch_npu_the_command_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "neonext_nano", "--runtime", "npu"]) == 3
    assert "torch_npu is not installed" in capfd.readouterr().err
