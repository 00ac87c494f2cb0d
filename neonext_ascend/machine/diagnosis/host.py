"""Processor and memory."""

from __future__ import annotations

import os
from pathlib import Path

from neonext_ascend.machine.diagnosis.findings import Finding
from neonext_ascend.machine.environment import cpu_model, physical_memory

# What decides onnxruntime's speed on a CPU, best last.
SPEED_FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve", "bf16")


def machine_findings() -> list[Finding]:
    """What ONNX Runtime's speed depends on."""
    total, available = physical_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    features = cpu_features()
    return [
        Finding("cpu", "info", f"{cpu_model()}, {cores} cores usable"),
        Finding("features", "info", " ".join(features) if features else "unknown"),
        Finding("memory", "info", f"{total / 2**30:.1f} GiB, {available / 2**30:.1f} GiB available"),
    ]


def cpu_features() -> list[str]:
    """Those of :data:`SPEED_FEATURES` that the processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    lines = [line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith(("flags", "Features"))]
    present = set(lines[0]) if lines else set()
    return [name for name in SPEED_FEATURES if name in present]
