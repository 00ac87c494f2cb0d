"""The two ways to an NPU from Python: pyACL for OM files, torch_npu for PyTorch networks."""

from __future__ import annotations

from collections.abc import Mapping

from neonext_ascend.machine.cann import Cann
from neonext_ascend.machine.diagnosis.child import run_python
from neonext_ascend.machine.diagnosis.findings import Finding, Status
from neonext_ascend.machine.diagnosis.python import installed
from neonext_ascend.machine.npu import import_failure, pairing

_STATUS: Mapping[str, Status] = {"match": "ok", "unknown": "info"}
_LOOK = "import torch, torch_npu; print('available' if torch.npu.is_available() else 'no NPU')"


def torch_npu_finding(cann: Cann, environ: Mapping[str, str]) -> tuple[Finding, bool]:
    """Its pairing with torch and CANN, and whether it imports and sees an NPU; that again apart."""
    torch, version = installed("torch"), installed("torch_npu")
    if version is None:
        return Finding("torch_npu", "info", "not installed; OM files do not need it"), False
    works, words = run_python(_LOOK, environ)
    pair = pairing(torch or "none", version, cann.version)
    usable = works and words == "available"
    if pair.state == "mismatch":
        return Finding("torch_npu", "problem", pair.words, pair.remedy), usable
    if not works:
        # The last line of a traceback begins with the exception's name.
        what, _, remedy = import_failure(words.partition(": ")[2] or words, torch, version).partition(": ")
        return Finding("torch_npu", "problem", f"{what}; {pair.words}", remedy or None), False
    if not usable:
        return Finding("torch_npu", "problem", f"{version} imports, but finds no NPU; {pair.words}"), False
    return Finding("torch_npu", _STATUS[pair.state], f"{version} finds an NPU; {pair.words}"), True


def acl_finding(cann: Cann, environ: Mapping[str, str]) -> Finding:
    """Whether the module ``acl`` imports; CANN brings it, and ``set_env.sh`` puts it where Python looks."""
    works, words = run_python("import acl; print('imports')", environ)
    if works:
        return Finding("pyACL", "ok", words)
    if cann.toolkit is None:
        return Finding("pyACL", "info", "not here; it comes with CANN")
    return Finding("pyACL", "problem", f"module acl does not import: {words}", "source CANN's set_env.sh")
