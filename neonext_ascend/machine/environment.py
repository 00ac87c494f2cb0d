"""What this machine is and has: processor, cores, versions of the libraries; and telemetry switched off."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def disable_telemetry() -> None:
    """Keep onnxruntime from reporting; must come before its import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def versions() -> dict[str, str]:
    """Python, platform and library versions, without importing the libraries."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def physical_memory() -> tuple[int, int]:
    """Total and available memory in bytes; zeros where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith("kB")}
    return sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names and names[0] else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What speed depends on.

    ``cpu`` (its model), ``cores`` (those that this process may use), ``governor`` (of the clock) and ``load`` (jobs
    ready to run, over the last minute); the last two are ``None`` where the system does not tell.
    """
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "governor": _governor(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _governor() -> str | None:
    try:
        return _GOVERNOR.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
