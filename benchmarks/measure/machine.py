"""The machine that the figures belong to."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from neonext_ascend.machine.environment import versions

CPUINFO = Path("/proc/cpuinfo")
# What decides which kernels ONNX Runtime and PyTorch take on an x86 CPU.
VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")


def describe_machine() -> dict[str, Any]:
    """CPU, cores that this process may use, load (jobs ready to run, last minute) and library versions."""
    cpu = _first_processor()
    flags = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "cpu_family": cpu.get("cpu family"),
        "cpu_model": cpu.get("model"),
        "vector_units": [unit for unit in VECTOR_UNITS if unit in flags],
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        **versions(),
        "onnxscript": metadata.version("onnxscript"),
    }


def has_avx512(machine: dict[str, Any]) -> bool:
    """Whether its vector units are 512 bits wide as seen by a program."""
    return "avx512f" in machine["vector_units"]


def machine_text(machine: dict[str, Any]) -> str:
    """The machine in two lines."""
    units = " ".join(machine["vector_units"]) or "no known vector unit"
    libraries = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "onnx", "onnxruntime"))
    return (
        f"{machine['cpu']} (family {machine['cpu_family']}, model {machine['cpu_model']}; {units}), "
        f"{machine['cores']} cores, load {machine['load']}\n{libraries}"
    )


def _first_processor() -> dict[str, str]:
    """Field -> value of the first processor in /proc/cpuinfo; empty where there is no such file."""
    if not CPUINFO.exists():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
