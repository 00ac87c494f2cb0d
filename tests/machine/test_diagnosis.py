"""The doctor's findings and what follows from them: this machine, broken libraries, and stand-in file systems."""

from __future__ import annotations

import json
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

from neonext_ascend.cli.main import run
from neonext_ascend.machine import diagnosis
from neonext_ascend.machine.container import docker_build_command, docker_run_command
from neonext_ascend.machine.diagnosis import Diagnosis, Finding, diagnose, python
from tests.standins.machine import machine

LIBHCCL = "raise ImportError('libhccl.so: cannot open shared object file: No such file or directory')\n"


def find(result: Diagnosis, name: str) -> Finding:
    (found,) = (f for f in result.findings if f.name == name)
    return found


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

    monkeypatch.setattr(metadata, "version", version)


def test_this_machine_can_make_onnx_files_and_says_what_it_has(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["doctor", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)
    found = {f["name"]: f for f in data["findings"]}
    assert found["torch"]["status"] == found["onnx"]["status"] == "ok"
    assert found["onnxruntime"]["value"] == f"onnxruntime {metadata.version('onnxruntime')}"
    assert "CPUExecutionProvider" in found["providers"]["value"]
    assert found["memory"]["value"].endswith("GiB available")
    assert next(a for a in data["abilities"] if a["ability"] == "onnx")["possible"]
    assert set(data["docker"]) == {"words", "build", "run", "make_om"}


def test_a_bare_machine_exports_onnx_and_is_given_the_cpu_image(tmp_path: Path) -> None:
    result = diagnose(tmp_path, machine(tmp_path))
    assert [can.possible for can in result.abilities] == [True, False, False]
    assert [f.name for f in result.findings if f.status in ("missing", "problem")] == []
    assert result.docker.run == docker_run_command([])
    make_om = docker_run_command(
        [], "neonext-ascend:ascend", ("export", "neonext_nano", "--format", "om", "--soc-version", "Ascend310P3")
    )
    assert result.can("om").words == f"cannot make an OM: atc not found; use Docker: {make_om}"
    assert set(result.docker.build) == {docker_build_command("cpu"), docker_build_command("ascend")}
    assert "no device was found" in result.can("npu").words


@pytest.mark.parametrize(
    ("toolkit", "operators", "possible"),
    [("8.5.0", None, False), ("8.5.0.alpha002", None, False), ("8.5.0", "8.5.0", True), ("8.3.RC1", None, True)],
)
def test_from_cann_8_5_the_operators_are_a_package_of_their_own(
    toolkit: str, operators: str | None, possible: bool, tmp_path: Path
) -> None:
    result = diagnose(tmp_path, machine(tmp_path, toolkit=toolkit, operators=operators))
    assert find(result, "atc").status == "ok"
    assert (find(result, "operators").status != "missing") == possible
    om = result.can("om")
    assert om.possible == possible
    assert ("operators' package of the chip" in om.words) == (not possible)
    assert ("docker run" in om.words) == (not possible)


def test_a_device_without_a_toolkit_is_sent_to_docker_with_its_devices(tmp_path: Path) -> None:
    result = diagnose(tmp_path, machine(tmp_path, chips=("310P3", "310P3")))
    assert find(result, "CANN").status == "missing"
    assert find(result, "device 1").value == "Ascend310P3, the --soc-version"
    assert result.docker.run == docker_run_command([0, 1])
    assert result.docker.build == (docker_build_command("ascend"),)
    npu = result.can("npu")
    assert npu.words.startswith("cannot run on Ascend310P3: neither pyACL (not here; it comes with CANN) nor torch_npu")
    assert npu.words.endswith(f"use Docker: {docker_run_command([0, 1])}")
    assert "--soc-version Ascend310P3" in result.can("om").words


def test_a_full_machine_can_do_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = machine(tmp_path, chips=("310P3",), toolkit="8.5.0", operators="8.5.0", acl=True)
    monkeypatch.setattr(diagnosis, "diagnose", partial(diagnose, tmp_path, environ))
    assert run(["doctor", "--require", "onnx", "--require", "om", "--require", "npu"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "can make an OM for its Ascend310P3 with atc of CANN 8.5.0" in out
    assert "can run OM files through pyACL on Ascend310P3" in out


@pytest.mark.parametrize(
    ("chip", "toolkit", "version", "status", "possible"),
    [
        ("310P3", "8.5.0", "2.9.0", "ok", True),
        ("310P3", "9.0.1", "2.9.0.post2", "info", True),
        ("310P3", "8.5.0", "2.9.0.post6", "problem", True),
        ("310B1", "8.5.0", "2.9.0", "ok", False),
    ],
)
def test_torch_npu_runs_models_except_on_a_310b(
    chip: str, toolkit: str, version: str, status: str, possible: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_versions(monkeypatch, torch="2.9.0+cpu", torch_npu=version)
    environ = machine(tmp_path, chips=(chip,), toolkit=toolkit, torch_npu="", npu_available=True)
    result = diagnose(tmp_path, environ)
    assert find(result, "torch_npu").status == status
    assert find(result, "pyACL").status == "problem"
    assert result.can("npu").possible == possible
    if chip == "310B1":
        assert result.docker.run is None
        assert "no CANN base image for Ascend310B1" in result.docker.words


@pytest.mark.parametrize(
    ("torch", "body", "words", "remedy"),
    [
        ("2.13.0+cpu", "", "torch_npu 2.9.0 goes with torch 2.9.0, not with torch 2.13.0+cpu", "install torch==2.9.0"),
        ("2.9.0", LIBHCCL, "needs CANN's libhccl.so, which is missing; torch 2.9.0 fits", "install CANN and source"),
        ("2.9.0", "", "2.9.0 imports, but finds no NPU", None),
    ],
)
def test_a_torch_npu_that_does_not_work_says_why(
    torch: str, body: str, words: str, remedy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_versions(monkeypatch, torch=torch, torch_npu="2.9.0")
    result = diagnose(tmp_path, machine(tmp_path, chips=("310P3",), torch_npu=body))
    found = find(result, "torch_npu")
    assert found.status == "problem"
    assert words in found.value
    assert (found.remedy is None) == (remedy is None)
    assert str(found.remedy).startswith(str(remedy))
    assert not result.can("npu").possible
    assert result.can("onnx").possible


@pytest.mark.parametrize(("ability", "code"), [("onnx", 0), ("om", 3), ("npu", 3)])
def test_require_decides_the_exit_status_and_only_commands_are_wide(
    ability: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnosis, "diagnose", partial(diagnose, tmp_path, machine(tmp_path, chips=("310P3",))))
    assert run(["doctor", "--require", ability]) == code
    out, err = capfd.readouterr()
    lines = out.splitlines()
    # A path cannot be broken either.
    words = [line for line in lines if not line.startswith("docker ") and "/" not in line]
    assert len(words) > 15
    assert max(map(len, words)) <= 80
    make_om = ("export", "neonext_nano", "--format", "om", "--soc-version", "Ascend310P3")
    commands = [docker_run_command([0], arguments=make_om), docker_run_command([0])]
    # The device's line stands with what is not possible, and again at the end.
    assert [line for line in lines if line.startswith("docker run")] == [*commands, commands[1]]
    assert (f"{ability} is not possible here" in err) == (code == 3)


def test_a_library_that_breaks_on_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = machine(tmp_path)
    (tmp_path / "site" / "onnx.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')\n")
    result = diagnose(tmp_path, environ)
    onnx = find(result, "onnx")
    assert onnx.status == "problem"
    assert "libfoo.so" in onnx.value
    assert onnx.remedy is not None
    assert "--force-reinstall onnx==" in onnx.remedy
    assert not result.can("onnx").possible
    assert "not before onnx work" in result.can("onnx").words


def test_without_onnx_no_om_is_made(tmp_path: Path) -> None:
    environ = machine(tmp_path, toolkit="8.3.RC1")
    (tmp_path / "site" / "onnx.py").write_text("raise ImportError('broken')\n")
    assert "it is made from an ONNX file" in diagnose(tmp_path, environ).can("om").words


def test_two_builds_of_onnxruntime_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_versions(monkeypatch, onnxruntime_cann="1.24.4")
    ort = find(diagnose(tmp_path, machine(tmp_path)), "onnxruntime")
    assert ort.status == "problem"
    assert "onnxruntime-cann 1.24.4 overwrite each other" in ort.value
    assert ort.remedy is not None
    assert "uninstall -y onnxruntime onnxruntime-cann" in ort.remedy


def test_a_listed_cann_provider_is_not_taken_for_a_usable_one(tmp_path: Path) -> None:
    environ = machine(tmp_path)
    providers = "get_available_providers = lambda: ['CANNExecutionProvider', 'CPUExecutionProvider']\n"
    (tmp_path / "site" / "onnxruntime.py").write_text(f"__version__ = '1'\n{providers}")
    assert "listed is not usable" in find(diagnose(tmp_path, environ), "providers").value


def test_an_absent_library_is_missing_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = machine(tmp_path)
    (tmp_path / "site" / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    fake_versions(monkeypatch, torch=None)
    torch = find(diagnose(tmp_path, environ), "torch")
    assert torch.status == "missing"
    assert str(torch.remedy).endswith("-m pip install torch")


def test_a_library_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neonext_ascend.machine.diagnosis.child.SECONDS", 0)
    assert not diagnose().can("onnx").possible


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["numpy>=1", 'numpy>=1; extra == "b"', 'no-such-thing[x]>=1; extra == "a"', 'torch_npu; extra == "npu"'],
            "b; without a: pip install '.[a]' in the checkout",
        ),
        (["numpy>=1; extra == 'b'"], "b"),
        (['no-such-thing; extra == "a"'], "none; without a: pip install '.[a]' in the checkout"),
    ],
)
def test_extras_are_told(lines: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    assert python.extras().value == words
