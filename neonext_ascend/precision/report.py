"""What half precision did to a graph: node by node, and what spoils it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neonext_ascend.precision.half import Overflow, Range
from neonext_ascend.runtimes.steps import Array


@dataclass(frozen=True, slots=True)
class HalfNode:
    """One node's result.

    Args:
        name, operator: of the node.
        range: what rounding did to it.
        relative, absolute: how far it is from float32 in all, ``max|difference| / max|reference|`` and the former.
        inside: the group whose inner node it is, judged as a warning alone; empty otherwise.
    """

    name: str
    operator: str
    range: Range
    relative: float
    absolute: float
    inside: str = ""

    def to_json(self) -> dict[str, Any]:
        """By name; what is not finite is ``null``."""
        far = {"relative": self.relative, "absolute": self.absolute}
        far_json = {name: value if np.isfinite(value) else None for name, value in far.items()}
        return {"name": self.name, "operator": self.operator, **self.range.to_json(), **far_json, "inside": self.inside}


@dataclass(frozen=True, slots=True)
class Alarm:
    """Where fp16 does not hold the graph.

    Args:
        node: that causes it, or reads a constant that fp16 cannot hold.
        kind: ``overflow``: beyond 65504; ``underflow``: bits lost below 2^-24 that matter later.
        value: largest magnitude there, before rounding.
        seen_at: the node at which it shows, for an underflow.
        constant: that the node reads, where that is what fp16 cannot hold.
    """

    node: str
    kind: Literal["overflow", "underflow"]
    value: float
    seen_at: str = ""
    constant: str = ""

    def __str__(self) -> str:
        if self.constant:
            told = f"{self.node} reads the constant {self.constant}, which overflows in fp16"
            return f"{told}: {_number(self.value)} is beyond 65504"
        if self.kind == "overflow":
            return f"{self.node} overflows in fp16: {_number(self.value)} is beyond 65504"
        return (
            f"{self.node} underflows in fp16: of its largest number, {_number(self.value)}, too few bits are left"
            + (f"; it shows at {self.seen_at}" if self.seen_at else "")
        )

    def to_json(self) -> dict[str, Any]:
        """By name; a value that is not finite is ``null``."""
        value = self.value if np.isfinite(self.value) else None
        told = {"node": self.node, "kind": self.kind, "value": value}
        return {**told, "seen_at": self.seen_at or None, "constant": self.constant or None}


@dataclass(frozen=True)
class HalfReport:
    """A graph on one feed, in one way of overflowing.

    Args:
        overflow: the way.
        nodes: in the order of computation.
        outputs, reference: of the graph, rounded and in float32.
        alarms: what spoils it, the first cause first.
        warnings: an overflow inside GELU or LayerNorm alone, of a mask, or of a constant that changes no result.
        by_types: whether the file's own types said what is fp16.
        in_fp32: nodes that compute in fp32 by them.
    """

    overflow: Overflow
    nodes: tuple[HalfNode, ...]
    outputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    alarms: tuple[Alarm, ...]
    warnings: tuple[Alarm, ...]
    by_types: bool = False
    in_fp32: int = 0

    @property
    def fp16(self) -> str:
        """What was computed in fp16, in words."""
        return f"all but {self.in_fp32} nodes, by the file's own types" if self.in_fp32 else "every node"

    @property
    def passed(self) -> bool:
        """Whether fp16 holds every node."""
        return not self.alarms

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "overflow": self.overflow,
            "passed": self.passed,
            "fp16": self.fp16,
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "warnings": [alarm.to_json() for alarm in self.warnings],
        }

    @property
    def tightest(self) -> HalfNode | None:
        """The node with the least headroom."""
        return min(self.nodes, key=lambda node: node.range.headroom_bits, default=None)


def _number(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "infinity"
