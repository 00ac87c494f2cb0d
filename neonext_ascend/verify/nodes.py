"""Two computations node by node: how far apart each value is, and whether the error is made there or handed on.

Beside a graph's own values a second set is computed in which each node is fed with the reference's values: what differs
there, the node makes itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.verify.compare import relative_error

# A node's own error, max|difference| / max|reference|, that rounding does not explain.
MADE_FP32, MADE_FP16 = 1e-5, 2e-3
NUMBERS = "fiub"  # numpy's kinds of dtypes that are compared


@dataclass(frozen=True, slots=True)
class NodeError:
    """One node.

    Args:
        name, operator: of the node.
        other: of its counterpart.
        relative: error of its value, ``max|difference| / max|reference|``.
        own: the same where it is fed with the reference's values.
        made: whether ``own`` is more than rounding explains.
    """

    name: str
    operator: str
    other: str
    relative: float
    own: float
    made: bool

    def to_json(self) -> dict[str, Any]:
        """By name; what is not finite is ``null``."""
        figures = {"relative": self.relative, "own": self.own}
        finite = {name: value if np.isfinite(value) else None for name, value in figures.items()}
        return {"name": self.name, "operator": self.operator, "other": self.other, **finite, "made": self.made}


@dataclass(frozen=True)
class Fault:
    """The first node that makes an error.

    Args:
        step: the node.
        around: it and the nodes before it that have no counterpart, in their order.
        inputs: what these read from outside, as the reference has it.
        expected, got: the reference's value and the node's own, from the same inputs.
    """

    step: Step
    around: tuple[Step, ...]
    inputs: Mapping[str, Array]
    expected: Array
    got: Array


class Reference:
    """Values of the reference, asked for in any order; each is given once."""

    def __init__(self, values: Iterator[tuple[str, Array]], names: Mapping[str, str]) -> None:
        self._values, self._names = values, names
        self._wanted = set(names.values())
        self._ahead: dict[str, Array] = {}

    def counterpart(self, name: str) -> str | None:
        """The reference's name of a value."""
        return self._names.get(name)

    def take(self, name: str) -> Array:
        """The reference's value for one of the graph's names; computes as far as it must."""
        wanted = self._names[name]
        while wanted not in self._ahead:
            made, value = next(self._values)
            if made in self._wanted:
                self._ahead[made] = value
        return self._ahead.pop(wanted)


def values_of(steps: Steps, feeds: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Every value of a graph as it is computed."""
    for step, values in steps.iterate(feeds):
        for name in step.outputs:
            yield name, values[name]


def compare_nodes(
    steps: Steps,
    feeds: Mapping[str, Array],
    reference: Reference,
    bound: float = MADE_FP32,
    on_fault: Callable[[Fault], None] = lambda _: None,
    suspects: Collection[str] = (),
) -> Iterator[NodeError]:
    """Each node that has a counterpart, in order.

    Args:
        steps: the graph.
        feeds: every input by name.
        reference: the other computation, on the same feeds.
        bound: of a node's own error; more is made there.
        on_fault: given the first node that makes an error, with all that is needed to show it.
        suspects: nodes that make one for certain, however small: a constant of theirs is another.

    Raises:
        ArtifactError: a node cannot be computed.
    """
    fed: dict[str, Array] = {name: np.asarray(feeds[name]) for name in steps.inputs}
    behind: dict[str, tuple[Step, ...]] = {}  # value without a counterpart -> the steps that it takes from matched ones
    outside: dict[str, Array] = dict(fed)
    found = False
    for step, values in steps.iterate(feeds):
        own = steps.compute(step, [fed[name] if name in fed else steps.needed(name) for name in step.inputs])
        around = (*dict.fromkeys(s for name in step.inputs for s in behind.get(name, ())), step)
        for name, made in zip(step.outputs, own, strict=True):
            other = reference.counterpart(name)
            if other is None or made.dtype.kind not in NUMBERS:
                fed[name], behind[name] = made, around
                continue
            want = reference.take(name).astype(made.dtype, copy=False)
            # A shape that depends on values, as NonZero's does, may be another one.
            want = want.reshape(made.shape) if want.size == made.size else want
            fed[name] = outside[name] = want
            relative, error = _apart(values[name], want), _apart(made, want)
            # Roundings of the nodes between two counterparts add up as random steps do.
            makes = error > bound * math.sqrt(len(around)) or step.name in suspects
            if makes and not found:
                found = True
                inner = {n for one in around for n in one.outputs}
                read = {n for one in around for n in one.inputs if n not in inner}
                on_fault(Fault(step, around, {n: outside[n] for n in read if n in outside}, want, made))
            yield NodeError(step.name, step.node.op_type, other, relative, error, makes)
        steps.forget(step, fed)
        for name in list(outside):
            if name not in fed and not found and not _needed(name, behind):
                del outside[name]


def _apart(value: Array, want: Array) -> float:
    return relative_error(value, want)[0] if value.shape == want.shape else math.inf


def _needed(name: str, behind: Mapping[str, tuple[Step, ...]]) -> bool:
    """Whether a fault that is still to come may have to show this value."""
    return any(name in step.inputs for steps in behind.values() for step in steps)
