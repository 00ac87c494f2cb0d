"""What comes of holding two computations against each other: whether there is a fault, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.verify.nodewise.nodes import NodeError, OutputError
from neonext_ascend.verify.nodewise.pair import Cause


@dataclass(frozen=True)
class Debugging:
    """What was found.

    Args:
        artifact, against: what was compared.
        matched, unmatched: nodes of the artifact with and without a counterpart.
        matched_by: how many by ``structure``, ``neighbours``, ``name`` and ``position``.
        nodes: every matched one, in order.
        outputs: of the graph.
        bound, allowed: of a node's own error, and of an output's.
        missing: nodes of the other computation without a counterpart.
        cause: of the first error, with a remedy; ``None`` without an error, and where the reference is no graph.
        subgraph: the ONNX file that shows the first fault alone; ``None`` where there is none.
        fed: what was fed, as files; none without a folder for them.
    """

    artifact: str
    against: str
    matched: int
    unmatched: tuple[str, ...]
    matched_by: Mapping[str, int]
    nodes: tuple[NodeError, ...]
    outputs: tuple[OutputError, ...]
    bound: float
    allowed: float
    missing: tuple[str, ...] = ()
    cause: Cause | None = None
    subgraph: Path | None = None
    fed: tuple[Path, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether the outputs do: what differs inside is undone by what follows. Not known where none is compared."""
        return bool(self.outputs) and all(output.relative <= self.allowed for output in self.outputs)

    @property
    def first_made(self) -> NodeError | None:
        """The first node whose error is made there, and not undone by what follows."""
        return None if self.agree else self.first_inside

    @property
    def first_inside(self) -> NodeError | None:
        """The first node that gives something else from the same inputs, whatever the outputs are."""
        return next((node for node in self.nodes if node.made), None)

    @property
    def differ(self) -> bool:
        """Whether there is a fault: a node's, or an output that no sum of roundings explains."""
        rounding = self.bound * math.sqrt(len(self.nodes))
        return self.first_made is not None or any(output.relative > rounding for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        first, inside = self.first_made, self.first_inside
        return {
            "artifact": self.artifact,
            "against": self.against,
            "matched": self.matched,
            "matched_by": dict(self.matched_by),
            "unmatched": list(self.unmatched),
            "missing": list(self.missing),
            "bound": self.bound,
            "nodes": [node.to_json() for node in self.nodes],
            "outputs": [output.to_json() for output in self.outputs],
            "outputs_agree": self.agree,
            "first_made": None if first is None else first.name,
            "first_inside": None if inside is None else inside.name,
            "cause": None if self.cause is None else self.cause.to_json(),
            "subgraph": None if self.subgraph is None else str(self.subgraph),
            "fed": [str(file) for file in self.fed],
        }
