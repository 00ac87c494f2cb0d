"""Python and the libraries that make and run ONNX files."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import metadata

from neonext_ascend.machine.diagnosis.child import run_python
from neonext_ascend.machine.diagnosis.findings import PIP, Finding

# Distributions that all install the module ``onnxruntime``; two of them overwrite each other.
ORT_BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-cann", "onnxruntime-openvino", "onnxruntime-directml")


def installed(name: str) -> str | None:
    """Version of a distribution, if there is one."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def python_finding() -> Finding:
    """The interpreter."""
    return Finding("python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def extras() -> Finding:
    """Which of this package's extras have all that they ask for; torch_npu has a finding of its own."""
    wanted: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("neonext-ascend") or []
    except metadata.PackageNotFoundError:
        return Finding("extras", "info", "unknown: the package itself is not installed")
    for line in lines:
        if (found := re.match(r"""([\w.-]+).*; *extra == ['"](\w+)['"]""", line)) and found[2] != "npu":
            wanted.setdefault(found[2], []).append(found[1])
    absent = [extra for extra, names in wanted.items() if not all(map(installed, names))]
    there = ", ".join(extra for extra in wanted if extra not in absent) or "none"
    if not absent:
        return Finding("extras", "info", there)
    words = f"{there}; without {', '.join(absent)}: pip install '.[{','.join(absent)}]' in the checkout"
    return Finding("extras", "info", words)


def library(name: str, environ: Mapping[str, str]) -> Finding:
    """Whether it imports."""
    ok, words = run_python(f"import {name}; print({name}.__version__)", environ)
    if ok:
        return Finding(name, "ok", words)
    version = installed(name)
    if version is None:
        return Finding(name, "missing", "not installed", f"{PIP} install {name}", copy=True)
    again = f"{PIP} install --force-reinstall {name}=={version}"
    return Finding(name, "problem", f"{version} is installed but does not import: {words}", again, copy=True)


def onnxruntime(environ: Mapping[str, str]) -> list[Finding]:
    """The one build that may be installed, and its providers."""
    builds = [f"{name} {version}" for name in ORT_BUILDS if (version := installed(name)) is not None]
    if len(builds) > 1:
        names = " ".join(build.split()[0] for build in builds)
        remedy = f"{PIP} uninstall -y {names} && {PIP} install onnxruntime"
        return [Finding("onnxruntime", "problem", f"{' and '.join(builds)} overwrite each other", remedy, copy=True)]
    found = library("onnxruntime", environ)
    if found.status != "ok":
        return [found]
    _, providers = run_python("import onnxruntime; print(', '.join(onnxruntime.get_available_providers()))", environ)
    if "CANNExecutionProvider" in providers:
        # onnxruntime-cann 1.24.4 lists it without CANN as well.
        providers += "; listed is not usable: --runtime cann refuses a fall back to the CPU"
    return [Finding("onnxruntime", "ok", builds[0] if builds else found.value), Finding("providers", "info", providers)]
