"""A graph beside a right one, node for node, and what may be said of a node that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from neonext_ascend.errors import counted
from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.verify.causes.constants import differ
from neonext_ascend.verify.nodewise.fingerprints import COMMUTATIVE

if TYPE_CHECKING:  # it loads PyTorch, which two files do without
    from neonext_ascend.verify.layers import Layers

AGAIN = "export the file again from its checkpoint"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a node makes an error.

    Args:
        node: to blame.
        what: the likely cause, in words.
        remedy: what to try.
    """

    node: str
    what: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"node": self.node, "cause": self.what, "remedy": self.remedy}


@dataclass(frozen=True)
class Pair:
    """A graph and a right one.

    Args:
        steps, theirs: the two.
        names: values of the first that have a counterpart -> that one's name.
        layers: of the network that both were made from; ``None`` where it is not known.
    """

    steps: Steps
    theirs: Steps
    names: Mapping[str, str]
    layers: Layers | None = None

    def counterpart(self, step: Step) -> Step | None:
        """The right graph's node that gives the same value."""
        makers = (self.theirs.makers.get(self.names.get(name, "")) for name in step.outputs)
        return next((maker for maker in makers if maker is not None), None)

    def changed(self, step: Step, other: Step) -> Iterator[tuple[str, Array, Array]]:
        """Constants of a node that are not the right ones: name, value, the right value."""
        half = self.steps.half or self.theirs.half
        for mine, right in self.slots(step, other):
            got, want = self.steps.constant(mine), self.theirs.constant(right)
            if got is not None and want is not None and differ(got, want, half):
                yield mine, got, want

    def slots(self, step: Step, other: Step) -> list[tuple[str, str]]:
        """What the two read, slot by slot: of a sum or a product of a value and a constant, each with its kind."""
        ours, theirs = ([*filter(None, one.node.input)] for one in (step, other))
        if step.node.op_type == other.node.op_type and step.node.op_type in COMMUTATIVE:
            ours.sort(key=lambda name: self.steps.constant(name) is not None)
            theirs.sort(key=lambda name: self.theirs.constant(name) is not None)
            return list(zip(ours, theirs, strict=False))
        read = zip_longest(step.node.input, other.node.input, fillvalue="")
        return [(mine, right) for mine, right in read if mine and right]

    def lacking(self, step: Step, other: Step) -> str:
        """What one of two nodes reads and the other does not, in words; empty where they read as many."""
        ours, theirs = (sum(map(bool, one.node.input)) for one in (step, other))
        return f"it reads {counted(ours, 'input')} in place of {theirs}" if ours != theirs else ""
