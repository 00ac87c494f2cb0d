"""What stands around a node of one of two graphs, in the terms of the second."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from neonext_ascend.runtimes.steps import Step, Steps
from neonext_ascend.verify.nodewise.fingerprints import COMMUTATIVE, Fingerprints

# Value name -> its shape, of what is known.
Shapes = Mapping[str, tuple[int, ...]]


class Side:
    """One of two graphs.

    Args:
        steps: the graph.
        inputs, ends: its inputs and outputs -> what stands for them in both graphs.
        shapes: of its values.
        half: whether constants are compared as fp16 holds them.
        other: the second graph; ``None`` where this is it.

    Attributes:
        taken: numbers of the matched nodes -> those of the second graph's.
    """

    def __init__(
        self,
        steps: Steps,
        inputs: Mapping[str, str],
        ends: Mapping[str, str],
        shapes: Shapes,
        half: bool,
        other: Side | None = None,
    ) -> None:
        self.steps, self.ends, self._shapes, self._other = steps, ends, shapes, other
        self.prints = Fingerprints(steps, inputs, ends, half)
        self.taken: dict[int, int] = {}

    def left(self) -> list[Step]:
        """The nodes that are not matched."""
        return [step for step in self.steps.steps if step.number not in self.taken]

    def shape(self, step: Step) -> tuple[tuple[int, ...] | None, ...]:
        """Of the node's results."""
        return tuple(self._shapes.get(name) for name in step.outputs)

    def read(self, step: Step) -> tuple[Hashable, ...] | None:
        """What the node reads, as the second graph computes it; ``None`` where that is not known of every value."""
        read: list[str] = []
        for name in step.node.input:
            if not name or self.prints.content(name) is not None:
                read.append("constant" if name else "")
                continue
            known = self._known(name)
            if known is None:
                return None
            read.append(known.hex())
        if set(read) <= {"constant", ""}:
            return None
        return tuple(sorted(read) if step.node.op_type in COMMUTATIVE else read)

    def readers(self, step: Step) -> Hashable:
        """Who reads the node's results, as nodes of the second graph; ``None`` where one is not matched."""
        found: list[tuple[int, int, str]] = []
        waiting = [(place, name) for place, name in enumerate(step.node.output) if name]
        for place, name in waiting:
            if name in self.ends:
                found.append((place, -1, self.ends[name]))
            for reader in self.steps.readers.get(name, ()):
                if reader.node.op_type == "Identity":
                    waiting.append((place, reader.outputs[0]))
                elif reader.number not in self.taken:
                    return None
                else:
                    slots = [slot for slot, read in enumerate(reader.node.input) if read == name]
                    free = reader.node.op_type in COMMUTATIVE
                    found += [(place, self.taken[reader.number], "" if free else str(slot)) for slot in slots]
        return tuple(sorted(found)) or None

    def agrees(self, mine: Step, other: Step) -> bool:
        """Whether nothing that this node and one of the second graph read is known to be two things."""
        assert self._other is not None
        ours, theirs = (
            {known for name in step.node.input if (known := side._known(name)) is not None}
            for side, step in ((self, mine), (self._other, other))
        )
        return ours == theirs

    def _known(self, name: str) -> bytes | None:
        """What a value is in the second graph, where it is an input or matched."""
        name = self.prints.source(name)
        if name in self.steps.inputs:
            return self.prints.forward[name]
        maker = self.steps.makers.get(name)
        if maker is None or maker.number not in self.taken:
            return None
        if self._other is None:
            return self.prints.forward[name]
        place, made = list(maker.node.output).index(name), self._other.steps.steps[self.taken[maker.number]].node.output
        return self._other.prints.forward.get(made[place]) if place < len(made) else None
