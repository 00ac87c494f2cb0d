"""Nodes that a compiler may run as one operator: GELU and LayerNorm, spelled out.

Which of them a chip fuses is not established, so a group is judged both ways: node by node, and as one operator that
rounds its result alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neonext_ascend.runtimes.spelled import Search
from neonext_ascend.runtimes.steps import Steps


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that compute one function: its name, their numbers, and the one output that others read."""

    kind: str
    numbers: tuple[int, ...]
    output: str


def find_groups(steps: Steps) -> list[Group]:
    """Every GELU (in the Erf or the tanh form) and LayerNorm that is spelled out in nodes."""

    def is_vector(name: str) -> bool:
        constant = steps.constant(name)
        return constant is not None and np.size(constant) > 1

    functions = Search(steps.steps, steps.outputs, is_vector).functions("GELU", "LayerNorm")
    return [
        Group(function.name, tuple(step.number for step in function.nodes), function.output) for function in functions
    ]
