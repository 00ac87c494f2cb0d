"""Nodes that a compiler may run as one operator: GELU and LayerNorm, spelled out.

Which of them a chip fuses is not established, so a group is judged both ways: node by node, and as one operator that
rounds its result alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neonext_ascend.runtimes.steps import Array, Step, Steps

# Heart -> name, and the operators of each spelling; one more or less is another function.
_SPELLINGS: Mapping[str, tuple[str, tuple[Mapping[str, int], ...]]] = {
    "Erf": ("GELU", ({"Div": 1, "Erf": 1, "Add": 1, "Mul": 2}, {"Erf": 1, "Add": 1, "Mul": 3})),
    "Tanh": ("GELU", ({"Pow": 1, "Tanh": 1, "Add": 2, "Mul": 4}, {"Tanh": 1, "Add": 2, "Mul": 6})),
    "Sqrt": (
        "LayerNorm",
        (
            {"ReduceMean": 2, "Sub": 1, "Pow": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 1, "Mul": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 2, "Pow": 1, "Add": 1, "Sqrt": 1, "Div": 1},
            {"ReduceMean": 2, "Sub": 1, "Pow": 1, "Add": 1, "Sqrt": 1, "Reciprocal": 1, "Mul": 1},
        ),
    ),
}
_MOST = 9  # operators of the longest spelling


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that compute one function: its name, their numbers, and the one output that others read."""

    kind: str
    numbers: tuple[int, ...]
    output: str


def find_groups(steps: Steps) -> list[Group]:
    """Every GELU (in the Erf or the tanh form) and LayerNorm that is spelled out in nodes."""
    search = _Search(steps)
    found = (search.around(step) for step in steps.steps if step.node.op_type in _SPELLINGS)
    return [group for group in found if group is not None]


class _Search:
    """Ways from a group's heart to its ends."""

    def __init__(self, steps: Steps) -> None:
        self.constant: Callable[[str], Array | None] = steps.constant
        self.results = set(steps.outputs)
        self.makers, self.readers = steps.makers, steps.readers

    def around(self, heart: Step) -> Group | None:
        """The closed set around the heart that is one of its spellings."""
        kind, spellings = _SPELLINGS[heart.node.op_type]
        allowed = {operator for spelling in spellings for operator in spelling}
        for source in self._sources(heart, allowed):
            members: list[Step] = []
            for step in self._behind(source, allowed):
                members.append(step)
                counts = Counter(member.node.op_type for member in members)
                output = self._only_output(members)
                twice = sum(source in member.inputs for member in members) > 1  # GELU is x times something of x
                if heart in members and output is not None and twice and counts in map(Counter, spellings):
                    output = self._with_affine(members, output) if kind == "LayerNorm" else output
                    return Group(kind, tuple(sorted(member.number for member in members)), output)
                if len(members) == _MOST:
                    break
        return None

    def _sources(self, heart: Step, allowed: set[str]) -> Iterator[str]:
        """What the group may read: the values on the way back from the heart, nearest first."""
        name = heart.inputs[0]
        for _ in range(_MOST):
            yield name
            maker = self.makers.get(name)
            if maker is None or maker.node.op_type not in allowed:
                return
            name = next((n for n in maker.inputs if n in self.makers), maker.inputs[0])

    def _behind(self, source: str, allowed: set[str]) -> Iterator[Step]:
        """The allowed operators behind ``source``, of which every computed input is known, in their order."""
        known, waiting, seen = {source}, list(self.readers.get(source, ())), set()
        while waiting:
            step = min(waiting, key=lambda one: one.number)
            waiting.remove(step)
            inside = all(name in known or name not in self.makers for name in step.inputs)
            if step.number in seen or step.node.op_type not in allowed or not inside:
                continue
            seen.add(step.number)
            known.update(step.outputs)
            yield step
            waiting += [reader for name in step.outputs for reader in self.readers.get(name, ())]

    def _only_output(self, members: Sequence[Step]) -> str | None:
        """The one value of these steps that is read outside; ``None`` where there are none or several."""
        read = [
            name
            for step in members
            for name in step.outputs
            if name in self.results or any(reader not in members for reader in self.readers.get(name, ()))
        ]
        return read[0] if len(read) == 1 else None

    def _with_affine(self, members: list[Step], output: str) -> str:
        """LayerNorm's gain and shift behind it, vectors both."""
        for operator in ("Mul", "Add"):
            readers = self.readers.get(output, [])
            if len(readers) != 1 or readers[0].node.op_type != operator or output in self.results:
                continue
            others = [self.constant(name) for name in readers[0].inputs if name != output]
            if len(others) == 1 and others[0] is not None and np.size(others[0]) > 1:
                members.append(readers[0])
                (output,) = readers[0].outputs
        return output
