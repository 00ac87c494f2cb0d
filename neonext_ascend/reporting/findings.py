"""What ATC would refuse in a file, in words."""

from __future__ import annotations

from pathlib import Path

from neonext_ascend.exporters.atc_rules.inspecting import Finding, Inspection, alike
from neonext_ascend.reporting.words import labelled


def inspection_lines(inspection: Inspection, file: Path, soc: str, precision: str) -> list[str]:
    """The verdict, then each finding: what is wrong, where, what to do; equal ones together."""
    groups = alike(inspection.findings)
    lines = labelled("file", f"{file}") + labelled("for", f"{soc}, --precision {precision}")
    lines += labelled("verdict", _verdict(inspection, groups))
    for group in groups:
        first, more = group[0], len(group) - 1
        code = f" ({first.atc_code})" if first.atc_code else ""
        places = "the whole file" if first.node is None else first.node + (f" and {more} more" if more else "")
        lines += ["", *labelled(first.severity, f"{first.rule}{code}")]
        lines += [*labelled("  where", places), *labelled("  why", first.message), *labelled("  do", first.remedy)]
    return lines


def _verdict(inspection: Inspection, groups: list[list[Finding]]) -> str:
    errors = sum(group[0].severity == "error" for group in groups)
    warnings = len(groups) - errors
    counts = f"{errors} {_plural('error', errors)}, {warnings} {_plural('warning', warnings)}"
    if not inspection.accepted:
        return f"ATC would refuse it: {counts}"
    return f"nothing found that ATC would refuse: {counts}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
