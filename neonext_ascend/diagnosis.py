"""What is installed, what is missing, and what follows from it for this user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from neonext_ascend.environment import cpu_model, physical_memory

Status = Literal["ok", "missing", "problem", "info"]
Ability = Literal["onnx", "om", "npu"]
ABILITIES: tuple[Ability, ...] = ("onnx", "om", "npu")

# Distributions that all install the module ``onnxruntime``; two of them overwrite each other.
ORT_BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-cann", "onnxruntime-openvino", "onnxruntime-directml")
# What decides onnxruntime's speed on a CPU, best last.
SPEED_FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve", "bf16")
_IMPORT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its state, and the one command that changes it where that is wanted."""

    name: str
    status: Status
    value: str
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"name": self.name, "status": self.status, "value": self.value, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Can:
    """Whether this machine can do something, and why not."""

    ability: Ability
    possible: bool
    words: str

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"ability": self.ability, "possible": self.possible, "words": self.words}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings and what follows from them."""

    findings: tuple[Finding, ...]
    abilities: tuple[Can, ...]

    def can(self, ability: Ability) -> Can:
        """What follows for one ability."""
        return next(can for can in self.abilities if can.ability == ability)


def diagnose() -> Diagnosis:
    """Look at this machine; libraries are imported in child processes, so that a broken one breaks nothing here."""
    torch, onnx = _library("torch", "torch.__version__"), _library("onnx", "onnx.__version__")
    ort = _onnxruntime()
    findings = (
        Finding("python", "ok", f"{sys.version.split()[0]} ({sys.executable})"),
        torch,
        onnx,
        *ort,
        _torch_npu(),
        *_machine(),
    )
    broken = [f.name for f in (torch, onnx, *ort) if f.status in ("missing", "problem")]
    onnx_words = "export, verify and predict with ONNX files"
    if broken:
        onnx_words += f": not before {' and '.join(broken)} work"
    later = "not in this version of neonext-ascend: it makes and runs ONNX files alone"
    return Diagnosis(
        findings,
        (
            Can("onnx", not broken, onnx_words),
            Can("om", False, f"compile an OM with ATC: {later}"),
            Can("npu", False, f"run on an Ascend NPU: {later}"),
        ),
    )


def cpu_features() -> list[str]:
    """Those of :data:`SPEED_FEATURES` that the processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = [line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith(("flags", "Features"))]
    present = set(lines[0]) if lines else set()
    return [name for name in SPEED_FEATURES if name in present]


def _library(name: str, version: str) -> Finding:
    ok, words = _child(f"import {name}; print({version})")
    if ok:
        return Finding(name, "ok", words)
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", "not installed", f"{Path(sys.executable).name} -m pip install {name}")
    again = f"{Path(sys.executable).name} -m pip install --force-reinstall {name}=={installed}"
    return Finding(name, "problem", f"{installed} is installed but does not import: {words}", again)


def _onnxruntime() -> list[Finding]:
    builds = []
    for name in ORT_BUILDS:
        try:
            builds.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    pip = f"{Path(sys.executable).name} -m pip"
    if len(builds) > 1:
        names = " ".join(build.split()[0] for build in builds)
        remedy = f"{pip} uninstall -y {names} && {pip} install onnxruntime"
        return [Finding("onnxruntime", "problem", f"{' and '.join(builds)} overwrite each other", remedy)]
    found = _library("onnxruntime", "onnxruntime.__version__")
    if found.status != "ok":
        return [found]
    _, providers = _child("import onnxruntime; print(', '.join(onnxruntime.get_available_providers()))")
    return [Finding("onnxruntime", "ok", builds[0] if builds else found.value), Finding("providers", "info", providers)]


def _torch_npu() -> Finding:
    try:
        version = metadata.version("torch_npu")
    except metadata.PackageNotFoundError:
        return Finding("torch_npu", "info", "not installed; nothing here uses it yet")
    return Finding("torch_npu", "info", f"{version} is installed; nothing here uses it yet")


def _machine() -> list[Finding]:
    total, available = physical_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    features = cpu_features()
    return [
        Finding("cpu", "info", f"{cpu_model()}, {cores} cores usable"),
        Finding("features", "info", " ".join(features) if features else "unknown"),
        Finding("memory", "info", f"{total / 2**30:.1f} GiB, {available / 2**30:.1f} GiB available"),
    ]


def _child(code: str) -> tuple[bool, str]:
    """Run a line of Python; whether it worked, and its output or the last line of its error."""
    # A torch_npu without CANN breaks a plain `import torch` unless torch is told not to load it.
    quiet = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "ORT_DISABLE_TELEMETRY": "1"}
    command: Sequence[str] = (sys.executable, "-W", "ignore", "-c", code)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            env=quiet,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {_IMPORT_SECONDS} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1][:200] if lines else f"ended with status {done.returncode}"


def as_json(diagnosis: Diagnosis) -> str:
    """One JSON object."""
    return json.dumps(
        {
            "findings": [finding.to_json() for finding in diagnosis.findings],
            "abilities": [can.to_json() for can in diagnosis.abilities],
        },
        indent=2,
    )
