"""Which node of one graph is which of another: by name, then by position and shape where names differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from neonext_ascend.runtimes.steps import Step

# Value name -> its shape.
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Matched:
    """Values of one graph and their counterparts in the other.

    Args:
        by_name, by_position: value of the first graph -> value of the second.
        unmatched: nodes of the first graph without a counterpart.
    """

    by_name: Mapping[str, str]
    by_position: Mapping[str, str]
    unmatched: tuple[str, ...]

    @property
    def pairs(self) -> dict[str, str]:
        """All of them."""
        return {**self.by_position, **self.by_name}


def match(first: Sequence[Step], second: Sequence[Step], shapes: Shapes, others: Shapes) -> Matched:
    """Match the values of two graphs.

    A value of the same name and shape is the same value. Between such anchors, runs of the same operators with results
    of the same shapes are aligned in their order, if they read the same anchors.

    Args:
        first, second: the nodes in the order of computation.
        shapes, others: of each graph's values.
    """
    theirs = {name for step in second for name in step.outputs}
    by_name = {
        name: name
        for step in first
        for name in step.outputs
        if name in theirs and shapes.get(name) == others.get(name) and name in shapes
    }
    taken = set(by_name.values())
    ours_left = [step for step in first if not any(name in by_name for name in step.outputs)]
    theirs_left = [step for step in second if not any(name in taken for name in step.outputs)]
    alike = SequenceMatcher(
        None, [_kind(step, shapes) for step in ours_left], [_kind(step, others) for step in theirs_left], False
    )
    by_position: dict[str, str] = {}
    for block in alike.get_matching_blocks():
        for offset in range(block.size):
            mine, other = ours_left[block.a + offset], theirs_left[block.b + offset]
            # Two that read different values of the same names are two things.
            if {name for name in mine.inputs if name in by_name} == {name for name in other.inputs if name in taken}:
                by_position |= dict(zip(mine.outputs, other.outputs, strict=True))
    unmatched = tuple(step.name for step in ours_left if not any(name in by_position for name in step.outputs))
    return Matched(by_name, by_position, unmatched)


def _kind(step: Step, shapes: Shapes) -> tuple[str, tuple[tuple[int, ...] | None, ...]]:
    return step.node.op_type, tuple(shapes.get(name) for name in step.outputs)
