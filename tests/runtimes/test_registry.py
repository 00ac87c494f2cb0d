"""Which runner opens what, and what is said where none can."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from neonext_ascend.cli.export_options import PRECISIONS as OFFERED_PRECISIONS
from neonext_ascend.cli.main import run
from neonext_ascend.cli.options import RUNTIMES as OFFERED
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.exporters.om_file.options import PRECISIONS
from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.runtimes.registry import RUNTIMES, is_artifact, open_runner, runtime_for


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    assert run(["export", "neonext_nano", "-o", str(folder), "--no-verify"]) == 0
    return folder / "neonext_nano-96-b1-fp32.onnx"


def test_the_help_offers_what_there_is() -> None:
    assert OFFERED == RUNTIMES
    assert OFFERED_PRECISIONS == PRECISIONS


@pytest.mark.parametrize(
    ("name", "asked", "chosen"),
    [
        ("a.onnx", "auto", "ort"),
        ("a.om", "auto", "acl"),
        ("a.onnx", "cann", "cann"),
        ("a.b-1.om", "acl", "acl"),
    ],
)
def test_the_file_decides(name: str, asked: str, chosen: str) -> None:
    assert runtime_for(Path(name), asked) == chosen  # type: ignore[arg-type] # the table's words


@pytest.mark.parametrize(("name", "asked"), [("a.onnx", "acl"), ("a.om", "ort"), ("a.om", "cann"), ("a.onnx", "npu")])
def test_a_runtime_that_does_not_open_the_file_is_refused(name: str, asked: str) -> None:
    with pytest.raises(UsageError, match=rf"--runtime {asked} opens .* for this file take"):
        runtime_for(Path(name), asked)  # type: ignore[arg-type] # the table's words


def test_what_is_a_file() -> None:
    assert is_artifact("a.om")
    assert is_artifact("folder/x")
    assert not is_artifact("neonext_t")


def test_the_runner_says_what_computes(nano: Path) -> None:
    with open_runner(nano) as runner:
        assert runner.where == f"ONNX Runtime {onnxruntime.__version__} on the CPU"


def test_a_build_without_the_cann_provider_says_so(nano: Path) -> None:
    with pytest.raises(ToolchainError, match="has no CANNExecutionProvider"):
        OrtRunner(nano, provider="cann")
    assert run(["verify", str(nano), "--runtime", "cann"]) == 3


def test_a_silent_fall_back_to_the_cpu_is_caught(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # onnxruntime-cann 1.24.4 without CANN: the provider is listed, the session runs on the CPU.
    session = onnxruntime.InferenceSession

    def on_the_cpu(source: object, options: object, **_: object) -> object:
        return session(source, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CANNExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(ToolchainError, match="fell back to CPUExecutionProvider"):
        open_runner(nano, runtime="cann")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "neonext_nano", "--runtime", "ort"], "opens files"),
        (["verify", "neonext_nano", "--against", "x.onnx"], "compares an artifact"),
        (["verify", "neonext_nano", "--dtype", "fp16"], "--runtime npu"),
        (["benchmark", "neonext_nano", "--runtime", "acl"], "opens files"),
        (["predict", "x.onnx", "y.png", "--runtime", "npu"], "opens models"),
    ],
)
def test_runtimes_that_do_not_fit_the_command(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y.png").write_bytes(b"x")
    assert run(arguments) == 2
    assert words in capfd.readouterr().err


def test_a_model_on_the_npu_says_what_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "neonext_nano", "--runtime", "npu"]) == 3
    assert "torch_npu" in capfd.readouterr().err
