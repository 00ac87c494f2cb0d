"""The doctor's findings, on this machine and on broken ones."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from neonext_ascend import diagnosis
from neonext_ascend.cli.main import run
from neonext_ascend.diagnosis import diagnose


def test_this_machine_can_make_onnx_files_and_says_what_it_has(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["doctor", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    found = {f["name"]: f for f in data["findings"]}
    assert found["torch"]["status"] == found["onnx"]["status"] == "ok"
    assert found["onnxruntime"]["value"] == f"onnxruntime {metadata.version('onnxruntime')}"
    assert "CPUExecutionProvider" in found["providers"]["value"]
    assert found["memory"]["value"].endswith("GiB available")
    assert [a["ability"] for a in data["abilities"] if a["possible"]] == ["onnx"]


@pytest.mark.parametrize(("ability", "code"), [("onnx", 0), ("om", 3), ("npu", 3)])
def test_require_decides_the_exit_status(ability: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--require", ability]) == code
    out, err = capfd.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert (f"{ability} is not possible here" in err) == (code == 3)


def test_a_library_that_breaks_on_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnx.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = diagnose()
    (onnx,) = (f for f in result.findings if f.name == "onnx")
    assert onnx.status == "problem"
    assert "libfoo.so" in onnx.value
    assert onnx.remedy is not None
    assert "--force-reinstall onnx==" in onnx.remedy
    assert not result.can("onnx").possible
    assert "not before onnx work" in result.can("onnx").words


def fake_versions(monkeypatch: pytest.MonkeyPatch, **given: str | None) -> None:
    """Let the metadata name these versions; ``None`` is not installed."""
    original = metadata.version

    def version(name: str) -> str:
        key = name.replace("-", "_")
        if key not in given:
            return original(name)
        value = given[key]
        if value is None:
            raise metadata.PackageNotFoundError(name)
        return value

    monkeypatch.setattr("neonext_ascend.diagnosis.metadata.version", version)


def test_two_builds_of_onnxruntime_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_versions(monkeypatch, onnxruntime_cann="1.24.4")
    (ort,) = (f for f in diagnose().findings if f.name == "onnxruntime")
    assert ort.status == "problem"
    assert "onnxruntime-cann 1.24.4 overwrite each other" in ort.value
    assert ort.remedy is not None
    assert "uninstall -y onnxruntime onnxruntime-cann" in ort.remedy


def test_an_absent_library_is_missing_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fake_versions(monkeypatch, torch=None, torch_npu="2.9.0")
    result = diagnose()
    found = {f.name: f for f in result.findings}
    assert found["torch"].status == "missing"
    assert str(found["torch"].remedy).endswith("-m pip install torch")
    assert found["torch_npu"].value.startswith("2.9.0 is installed")


def test_a_library_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_IMPORT_SECONDS", 0)
    assert not diagnose().can("onnx").possible
