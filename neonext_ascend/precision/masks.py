"""Masks: values so far below all others that a Softmax or a maximum makes nothing of them, however far that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neonext_ascend.precision.report import HalfNode
from neonext_ascend.runtimes.steps import Step, Steps
from neonext_ascend.spec import MOVES

# What makes nothing of them, and what hands them on.
_CHOOSING = frozenset({"Softmax", "Exp", "Max", "MaxPool", "ReduceMax", "GlobalMaxPool"})
_CARRYING = MOVES | {"Add", "Sub", "Mul", "Div", "Where", "Expand", "Tile", "Gather", "Pad", "Clip", "Min"}
# A mask that fails makes other answers, or none; smaller errors come from rounding the scores beside it.
_FAILED = 0.1


class Masks:
    """Where each value of a graph is chosen from."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._readers = steps, dict[str, list[Step]]()
        for step in steps.steps:
            for name in step.inputs:
                self._readers.setdefault(name, []).append(step)

    def ignored(self, step: Step, nodes: Mapping[str, HalfNode]) -> bool:
        """Whether everything that what a step gives comes to is a choice, and each is right in half precision."""
        choosers = self._choosers(step.outputs)
        return bool(choosers) and all(name in nodes and nodes[name].relative <= _FAILED for name in choosers)

    def _choosers(self, values: Iterable[str]) -> set[str]:
        """The steps that choose; none where a value goes elsewhere too."""
        waiting, seen, found = list(values), set[str](), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._steps.outputs:
                return set()
            for reader in self._readers.get(name, ()):
                if reader.node.op_type in _CHOOSING:
                    found.add(reader.name)
                elif reader.node.op_type in _CARRYING:
                    waiting += reader.outputs
                else:
                    return set()
        return found
