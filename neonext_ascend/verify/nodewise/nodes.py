"""Two computations node by node: how far apart each value is, and whether the error is made there or handed on.

Beside a graph's own values a second set is computed in which each node is fed with the reference's values: what differs
there, the node makes itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neonext_ascend.artifacts.array_file import NUMBERS
from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.runtimes.widening import widened
from neonext_ascend.spec import MOVES
from neonext_ascend.verify.compare import relative_error
from neonext_ascend.verify.reference import Reference

# A node's own error, max|difference| / max|reference|, that rounding does not explain.
MADE_FP32, MADE_FP16 = 1e-5, 2e-3
# Of a layer in int8 on a picture: in neonext_nano 0.06 at most, by mse, which cuts off what is rare.
MADE_INT8 = 0.15
# What gives nearly the same for numbers that are far apart.
_SWALLOWING = frozenset({"Softmax", "Sigmoid", "HardSigmoid", "Tanh", "ArgMax", "TopK", "Clip", "Round", "Cast"})


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


@dataclass(frozen=True)
class OutputError:
    """One output of the graph.

    Args:
        name, other: in the graph and in the reference.
        relative: its error, or that of what a Softmax at the end made it from; infinite where the shapes differ.
        words: how the shapes differ; empty where they do not.
    """

    name: str
    other: str
    relative: float
    words: str = ""

    def to_json(self) -> dict[str, Any]:
        """By name; what is not finite is ``null``."""
        relative = self.relative if np.isfinite(self.relative) else None
        return {"name": self.name, "other": self.other, "relative": relative}


@dataclass(frozen=True)
class Compared:
    """Two computations.

    Args:
        nodes: each that has a counterpart, in order.
        outputs: the graph's.
        fault: the first node that makes an error; ``None`` where none does.
    """

    nodes: tuple[NodeError, ...]
    outputs: tuple[OutputError, ...]
    fault: Fault | None


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
    suspects: Collection[str] = (),
) -> Compared:
    """Each node that has a counterpart, and the outputs.

    Args:
        steps: the graph.
        feeds: every input by name.
        reference: the other computation, on the same feeds.
        bound: of a node's own error; more is made there.
        suspects: nodes that make one for certain, however small: a constant of theirs is another.

    Raises:
        ArtifactError: a node cannot be computed.
    """
    fed: dict[str, Array] = {name: widened(np.asarray(feeds[name])) for name in steps.inputs}
    behind: dict[str, tuple[Step, ...]] = {}  # value without a counterpart -> the steps that it takes from matched ones
    outside: dict[str, Array] = dict(fed)
    nodes: list[NodeError] = []
    fault, last, errors = None, dict(fed), dict[str, float]()
    for step, values in steps.iterate(feeds):
        last = values
        # Where all that it reads is the same, it gives the same.
        same = all(name not in fed or fed[name] is values.get(name) for name in step.inputs)
        own = [values[name] for name in step.outputs] if same else _computed(steps, step, fed)
        around = (*dict.fromkeys(s for name in step.inputs for s in behind.get(name, ())), step)
        for name, made in zip(step.outputs, own, strict=True):
            other = reference.counterpart(name)
            want = made if other is None else reference.take(name, made.shape)
            if other is None or not {made.dtype.kind, want.dtype.kind} <= {*NUMBERS}:  # texts, say
                fed[name], behind[name] = made, around
                continue
            want = want.astype(made.dtype, copy=False)
            if equal := _same(want, values[name]):
                want = values[name]
            # A result of another shape is no input for what follows here.
            fed[name] = outside[name] = want if want.shape == made.shape else made
            relative = 0.0 if equal else _apart(values[name], want)
            error = relative if made is values[name] else _apart(made, want)
            # Roundings of the nodes between two counterparts add up as random steps do.
            makes = error > bound * math.sqrt(len(around)) or step.name in suspects
            if makes and fault is None:
                inner = {n for one in around for n in one.outputs}
                read = {n for one in around for n in one.inputs if n not in inner}
                fault = Fault(step, around, {n: outside[n] for n in read if n in outside}, want, made)
            errors[name] = relative
            nodes.append(NodeError(step.name, step.node.op_type, other, relative, error, makes))
        steps.forget(step, fed)
        for name in list(outside):
            if name not in fed and fault is None and not _needed(name, behind):
                del outside[name]
    reference.finish()
    ends = (
        _output(name, last[name], reference, errors.get(_unswallowed(steps, name), 0.0))
        for name in reference.outputs
        if name in last
    )
    return Compared(tuple(nodes), tuple(end for end in ends if end is not None), fault)


def _computed(steps: Steps, step: Step, fed: Mapping[str, Array]) -> list[Array]:
    return steps.compute(step, [fed[name] if name in fed else steps.needed(name) for name in step.inputs])


def _unswallowed(steps: Steps, name: str) -> str:
    """The value that an output was made from, before what hides a difference: Softmax gives 0 and 1."""
    while (maker := steps.makers.get(name)) is not None and maker.node.op_type in _SWALLOWING | MOVES and maker.inputs:
        name = maker.inputs[0]
    return name


def _output(name: str, value: Array, reference: Reference, before: float) -> OutputError | None:
    other, want = reference.outputs[name], reference.result(name, value.shape)
    if want is None or not {value.dtype.kind, want.dtype.kind} <= {*NUMBERS}:
        return None
    words = "" if value.shape == want.shape else f"{name} is {_size(value)}, the other's {other} {_size(want)}"
    return OutputError(name, other, max(_apart(value, want), before), words)


def _size(value: Array) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def _same(want: Array, value: Array) -> bool:
    return want.dtype == value.dtype and np.array_equal(want, value, equal_nan=want.dtype.kind == "f")


def _apart(value: Array, want: Array) -> float:
    return relative_error(value, want)[0] if value.shape == want.shape else math.inf


def _needed(name: str, behind: Mapping[str, tuple[Step, ...]]) -> bool:
    """Whether a fault that is still to come may have to show this value."""
    return any(name in step.inputs for steps in behind.values() for step in steps)
