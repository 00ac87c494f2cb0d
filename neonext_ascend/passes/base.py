"""What a pass is: network in, new network and a report out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from neonext_ascend.passes.graph import as_graph


@dataclass(frozen=True, slots=True)
class Refusal:
    """A place that a pass left as it was, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass
class PassReport:
    """What one pass did: the places changed, and those refused with the reason; the lowering of each NeoCell."""

    name: str
    changed: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    lowerings: dict[str, str] = field(default_factory=dict)

    def refuse(self, where: str, reason: str) -> None:
        """Note a place that stays as it is."""
        self.refused.append(Refusal(where, reason))

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.changed)} changed, {len(self.refused)} refused"]
        return "\n".join([*lines, *(f"  refused {refusal}" for refusal in self.refused)])


@dataclass(frozen=True)
class Report:
    """The reports of all passes, in the order they ran."""

    passes: tuple[PassReport, ...]

    @property
    def changed(self) -> dict[str, int]:
        """Number of changes by pass."""
        return {report.name: len(report.changed) for report in self.passes}

    @property
    def refused(self) -> list[Refusal]:
        """Every refusal."""
        return [refusal for report in self.passes for refusal in report.refused]

    @property
    def lowerings(self) -> dict[str, str]:
        """The lowering of each NeoCell that is left, by its place."""
        return {where: name for report in self.passes for where, name in report.lowerings.items()}

    def to_json(self) -> dict[str, Any]:
        """The form in the manifest."""
        return {
            "changed": self.changed,
            "lowerings": self.lowerings,
            "refused": [{"where": r.where, "reason": r.reason} for r in self.refused],
        }

    def __str__(self) -> str:
        return "\n".join(map(str, self.passes))


class Pass(ABC):
    """One rewrite; calling it leaves its argument untouched.

    A pass takes any ``nn.Module`` in evaluation mode that can be traced, or the result of an earlier pass.
    """

    name: str

    def __call__(self, network: nn.Module) -> tuple[fx.GraphModule, PassReport]:
        """Apply to a copy.

        Raises:
            PassRefusedError: the network cannot be traced.
        """
        graph = as_graph(network)
        report = self.rewrite(graph)
        graph.recompile()
        return graph, report

    def rewrite(self, graph: fx.GraphModule) -> PassReport:
        """Apply in place; the graph's code stays the old one until it is recompiled."""
        report = PassReport(self.name)
        self.apply(graph, report)
        graph.graph.lint()
        graph.delete_all_unused_submodules()
        return report

    @abstractmethod
    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite ``graph`` in place and note each change or refusal."""
