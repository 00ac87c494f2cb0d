"""What follows from the findings: whether this machine can do a thing, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from neonext_ascend.machine.cann import Cann
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.machine.diagnosis.cann import ops_package_missing
from neonext_ascend.machine.diagnosis.docker import DockerLines
from neonext_ascend.machine.diagnosis.findings import Finding

Ability = Literal["onnx", "om", "npu"]
ABILITIES: tuple[Ability, ...] = get_args(Ability)


@dataclass(frozen=True, slots=True)
class Can:
    """Whether this machine can do something.

    Attributes:
        ability: as ``--require`` names it.
        possible: whether it can.
        reason: a sentence without its subject: ``can ...``, or ``cannot ...: ...``.
        command: the line that does it in Docker instead, where there is one.
    """

    ability: Ability
    possible: bool
    reason: str
    command: str | None = None

    @property
    def words(self) -> str:
        """All of it, on one line."""
        return self.reason if self.command is None else f"{self.reason}; use Docker: {self.command}"

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"ability": self.ability, "possible": self.possible, "words": self.words}


def can_use_onnx(libraries: Sequence[Finding]) -> Can:
    """Export, verify and predict: the libraries work."""
    broken = [found.name for found in libraries if found.status in ("missing", "problem")]
    if broken:
        reason = f"cannot export, verify and predict with ONNX files: not before {' and '.join(broken)} work"
        return Can("onnx", False, reason)
    return Can("onnx", True, "can export, verify and predict with ONNX files")


def can_make_om(cann: Cann, onnx: Can, docker: DockerLines) -> Can:
    """ATC and what it needs are here, and the ONNX file that it reads can be made."""
    why = _why_no_om(cann)
    if why:
        return Can("om", False, f"cannot make an OM: {why}", docker.make_om)
    if not onnx.possible:
        return Can("om", False, "cannot make an OM: it is made from an ONNX file")
    soc = f" for its {cann.soc_version}" if cann.soc_version in SOCS else ""
    return Can("om", True, f"can make an OM{soc} with atc of CANN {cann.version or 'of unknown version'}")


def can_run_on_npu(cann: Cann, torch_npu: Finding, torch_npu_usable: bool, acl: Finding, docker: DockerLines) -> Can:
    """There is a device, and pyACL or torch_npu."""
    if not cann.devices:
        return Can("npu", False, "cannot run on an NPU: no device was found, neither in /dev nor by npu-smi")
    chip = cann.soc_version or "an NPU whose chip has no name"
    ways = []
    if acl.status == "ok":
        ways.append("OM files through pyACL")
    soc = SOCS.get(cann.soc_version or "")
    # 310B has no aclnnMatmul, aclnnBatchMatMul or aclnnGeluV2: runtimes/npu.py refuses it.
    if torch_npu_usable and not (soc and soc.family == "310B"):
        ways.append("models through torch_npu")
    if ways:
        return Can("npu", True, f"can run {' and '.join(ways)} on {chip}")
    reason = f"cannot run on {chip}: neither pyACL ({acl.value}) nor torch_npu ({torch_npu.value}) works"
    return Can("npu", False, reason, docker.run)


def _why_no_om(cann: Cann) -> str | None:
    if cann.atc is None:
        return "atc not found"
    if ops_package_missing(cann):
        return f"CANN {cann.version} needs the operators' package of the chip, which is not installed"
    return None
