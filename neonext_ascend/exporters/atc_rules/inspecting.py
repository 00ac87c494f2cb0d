"""An ONNX file held against every rule, and what was found.

A rule strikes at places; each is a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.exporters.atc_rules.checks import Subject
from neonext_ascend.exporters.atc_rules.reading import read_model
from neonext_ascend.exporters.atc_rules.rules import RULES, Severity
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.machine.chips import Soc


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that struck at one place; ``node`` is ``None`` for the whole file."""

    rule: str
    severity: Severity
    node: str | None
    message: str
    remedy: str
    atc_code: str | None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {name: getattr(self, name) for name in ("rule", "severity", "node", "message", "remedy", "atc_code")}


@dataclass(frozen=True, slots=True)
class Inspection:
    """All findings; ``accepted`` where none of them is an error."""

    accepted: bool
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"accepted": self.accepted, "findings": [finding.to_json() for finding in self.findings]}


def inspect_onnx(path: Path, soc: Soc, precision: Precision = "fp16") -> Inspection:
    """Hold the ONNX file against every rule; weights and external data are not read.

    Args:
        path: anybody's ONNX file, of any size.
        soc: the chip to compile for.
        precision: what ATC will be asked for.

    Raises:
        FileAccessError: it cannot be read, is empty, or ends too early.
        ArtifactError: it is no ONNX model.
    """
    subject = Subject(read_model(path), soc, precision)
    findings = tuple(
        Finding(
            rule.id,
            rule.severity,
            hit.node,
            rule.message.format(**hit.words),
            rule.remedy.format(**hit.words),
            rule.atc_code,
        )
        for rule in RULES
        for hit in rule.check(subject)
    )
    return Inspection(all(finding.severity != "error" for finding in findings), findings)


def alike(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of one rule that say the same stand together, errors first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.message), []).append(finding)
    return sorted(groups.values(), key=lambda group: group[0].severity)
