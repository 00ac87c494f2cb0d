"""What is installed, what is missing, and what follows from it for this user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.machine.cann import find_cann
from neonext_ascend.machine.diagnosis.abilities import (
    ABILITIES,
    Ability,
    Can,
    can_make_om,
    can_run_on_npu,
    can_use_onnx,
)
from neonext_ascend.machine.diagnosis.cann import cann_findings
from neonext_ascend.machine.diagnosis.docker import DockerLines, docker_lines
from neonext_ascend.machine.diagnosis.findings import Finding
from neonext_ascend.machine.diagnosis.host import machine_findings
from neonext_ascend.machine.diagnosis.npu import acl_finding, torch_npu_finding
from neonext_ascend.machine.diagnosis.python import extras, library, onnxruntime, python_finding

__all__ = ["ABILITIES", "Ability", "Can", "Diagnosis", "Finding", "diagnose"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, what follows from them, and the ``docker`` lines for this machine."""

    findings: tuple[Finding, ...]
    abilities: tuple[Can, ...]
    docker: DockerLines

    def can(self, ability: Ability) -> Can:
        """What follows for one ability."""
        return next(can for can in self.abilities if can.ability == ability)

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "abilities": [can.to_json() for can in self.abilities],
            "docker": self.docker.to_json(),
        }


def diagnose(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Look at a machine; libraries are imported in child processes, so that a broken one breaks nothing here.

    Args:
        root: of the file system in which CANN, its driver and the devices are looked for.
        environ: PATH and CANN's variables; the child processes get it as well.
    """
    cann = find_cann(root, environ)
    torch, onnx = library("torch", environ), library("onnx", environ)
    ort = onnxruntime(environ)
    torch_npu, usable = torch_npu_finding(cann, environ)
    acl = acl_finding(cann, environ)
    docker = docker_lines(cann)
    findings = (
        python_finding(),
        torch,
        onnx,
        *ort,
        extras(),
        torch_npu,
        acl,
        *cann_findings(cann),
        *machine_findings(),
    )
    onnx_ability = can_use_onnx((torch, onnx, *ort))
    abilities = (
        onnx_ability,
        can_make_om(cann, onnx_ability, docker),
        can_run_on_npu(cann, torch_npu, usable, acl, docker),
    )
    return Diagnosis(findings, abilities, docker)
