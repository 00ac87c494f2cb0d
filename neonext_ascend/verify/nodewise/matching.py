"""Which node of one graph is which of another: by what they compute; by names and places where that does not tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, get_args

from neonext_ascend.precision.groups import find_groups
from neonext_ascend.runtimes.steps import Step, Steps
from neonext_ascend.verify.causes.constants import unlike
from neonext_ascend.verify.nodewise.fingerprints import labels
from neonext_ascend.verify.nodewise.neighbours import Shapes, Side

How = Literal["structure", "neighbours", "name", "position"]
_ALIKE = 1e-3  # two constants that only rounding tells apart
_MOST_ALIKE = 64  # nodes of one kind on the same inputs that are held against each other


@dataclass(frozen=True)
class Matched:
    """Values of one graph and their counterparts in the other.

    Args:
        pairs: value of the first graph -> value of the second.
        how: name of each matched node of the first -> what it was matched by.
        unmatched, missing: nodes of the first graph, and of the second, without a counterpart.
    """

    pairs: Mapping[str, str]
    how: Mapping[str, How]
    unmatched: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes were matched by what."""
        counted = Counter(self.how.values())
        return {how: counted[how] for how in get_args(How) if counted[how]}


def match(first: Steps, second: Steps, shapes: Shapes, others: Shapes) -> Matched:
    """Match the values of two graphs.

    First what is computed alike from the inputs down, or used alike up to the outputs: operators, attributes and the
    contents of constants. Then what has the same operator between the same neighbours, where constants differ: of
    several the one whose constants are nearest. What is left is matched by name, then by position and shape, where
    nothing that is known contradicts; at last a node between the same neighbours whose operator was replaced.

    Args:
        first, second: the graphs.
        shapes, others: of each graph's values.
    """
    search = _Search(first, second, shapes, others)
    search.by_structure()
    search.by_neighbours()
    search.by_name()
    search.by_position()
    search.replaced()
    search.part_groups()
    return search.found()


class _Search:
    """Pairs that were found, and what the two sides look like."""

    def __init__(self, first: Steps, second: Steps, shapes: Shapes, others: Shapes) -> None:
        inputs, ends = labels(first.inputs, second.inputs), labels(first.outputs, second.outputs)
        half = first.half or second.half
        self.second = Side(second, inputs[1], ends[1], others, half)
        self.first = Side(first, inputs[0], ends[0], shapes, half, self.second)
        self.how: dict[str, How] = {}

    def by_structure(self) -> None:
        """Equal digests: both, the one from the inputs, the one from the outputs; of constants' places alone last."""

        def down(side: Side, step: Step) -> Hashable:
            return step.node.op_type, *(side.prints.forward[name] for name in step.outputs)

        def up(side: Side, step: Step) -> Hashable:
            return step.node.op_type, *(side.prints.backward[name] for name in step.outputs)

        def shape(side: Side, step: Step) -> Hashable:
            ways = side.prints.shapes_forward, side.prints.shapes_backward
            return step.node.op_type, *(way[name] for way in ways for name in step.outputs)

        self._pair(lambda side, step: (down(side, step), up(side, step)), "structure")
        self._pair(down, "structure")
        self._pair(up, "structure", unique=True)
        self._pair(shape, "structure", unique=True)

    def by_neighbours(self) -> None:
        """Until nothing is added: the same operator on matched inputs, or read by matched nodes."""

        def whole(side: Side, step: Step) -> Hashable:
            read = side.read(step)
            return None if read is None else (side.prints.operators[step.number], side.prints.constants(step), read)

        def between(side: Side, step: Step) -> Hashable:
            read, readers = side.read(step), side.readers(step)
            return None if read is None or readers is None else (step.node.op_type, read, readers)

        def above(side: Side, step: Step) -> Hashable:
            readers = side.readers(step)
            return None if readers is None else (step.node.op_type, readers)

        def below(side: Side, step: Step) -> Hashable:
            read = side.read(step)
            return None if read is None else (step.node.op_type, read)

        ways = ((whole, False), (between, False), (above, True), (below, False))
        while any(self._pair(key, "neighbours", unique=unique) for key, unique in ways):
            pass

    def by_name(self) -> None:
        """The same name, operator and shape."""

        def named(side: Side, step: Step) -> Hashable:
            return step.node.op_type, *step.outputs, side.shape(step)

        if self._pair(named, "name", agreeing=True):
            self.by_neighbours()

    def by_position(self) -> None:
        """Runs of the same operators with results of the same shapes, in their order."""
        ours, theirs = self.first.left(), self.second.left()
        kinds = [(step.node.op_type, self.first.shape(step)) for step in ours]
        others = [(step.node.op_type, self.second.shape(step)) for step in theirs]
        added = False
        for block in SequenceMatcher(None, kinds, others, False).get_matching_blocks():
            for offset in range(block.size):
                mine, other = ours[block.a + offset], theirs[block.b + offset]
                added |= self.first.agrees(mine, other) and self._add(mine, other, "position")
        if added:
            self.by_neighbours()

    def replaced(self) -> None:
        """Another operator, read by the same nodes, and the makers of the same output."""

        def used(side: Side, step: Step) -> Hashable:
            readers = side.readers(step)
            return None if readers is None else (readers, side.shape(step))

        if self._pair(used, "neighbours", unique=True):
            self.by_neighbours()
        theirs = {label: name for name, label in self.second.ends.items()}
        for name, label in self.first.ends.items():
            mine = self.first.steps.makers.get(name)
            other = self.second.steps.makers.get(theirs.get(label, ""))
            if mine and other and mine.number not in self.first.taken:
                self._add(mine, other, "position")  # what stands behind the right result too: it must give this one

    def part_groups(self) -> None:
        """Where GELU or LayerNorm is spelled out otherwise, nothing inside has a counterpart, but the result has."""
        back = {other: mine for mine, other in self.first.taken.items()}
        for side, taken in ((self.first, self.first.taken), (self.second, back)):
            for group in find_groups(side.steps):
                inside = {n for n in group.numbers if group.output not in side.steps.steps[n].outputs}
                if not inside <= taken.keys():
                    for number in inside & taken.keys():
                        mine = number if side is self.first else taken[number]
                        self.first.taken.pop(mine, None)
                        self.how.pop(self.first.steps.steps[mine].name, None)

    def found(self) -> Matched:
        """By names; a Constant or an Identity that is left computes nothing."""
        ours, theirs, taken = self.first.steps.steps, self.second.steps.steps, self.first.taken
        return Matched(
            {
                a: b
                for mine, other in taken.items()
                for a, b in zip(ours[mine].node.output, theirs[other].node.output, strict=False)
                if a and b
            },
            self.how,
            *(
                tuple(step.name for step in side.left() if step.node.op_type not in ("Constant", "Identity"))
                for side in (self.first, self.second)
            ),
        )

    def _add(self, mine: Step, other: Step, how: How) -> bool:
        self.first.taken[mine.number] = self.second.taken[other.number] = other.number
        self.how[mine.name] = how
        return True

    def _pair(
        self,
        key: Callable[[Side, Step], Hashable],
        how: How,
        unique: bool = False,
        agreeing: bool = False,
    ) -> bool:
        """Match what has the same key; ``unique`` where it is one node's alone. Whether any was added."""
        groups: dict[Hashable, tuple[list[Step], list[Step]]] = {}
        for number, side in enumerate((self.first, self.second)):
            for step in side.left():
                if (known := key(side, step)) is not None:
                    groups.setdefault(known, ([], []))[number].append(step)
        added = False
        for ours, theirs in groups.values():
            if unique and len(ours) + len(theirs) > 2:
                continue
            for mine, other in self._nearest(ours, theirs):
                added |= (not agreeing or self.first.agrees(mine, other)) and self._add(mine, other, how)
        return added

    def _nearest(self, ours: Sequence[Step], theirs: Sequence[Step]) -> list[tuple[Step, Step]]:
        """Of several that are alike the most alike first: constants up to rounding, names, constants, places."""
        if len(ours) * len(theirs) <= 1 or len(ours) * len(theirs) > _MOST_ALIKE**2:
            return list(zip(ours, theirs, strict=False))
        ways = sorted(
            (self._far(mine, other, abs(a - b)), a, b) for a, mine in enumerate(ours) for b, other in enumerate(theirs)
        )
        left, right, chosen = {*range(len(ours))}, {*range(len(theirs))}, list[tuple[Step, Step]]()
        for _, a, b in ways:
            if a in left and b in right:
                left.remove(a)
                right.remove(b)
                chosen.append((ours[a], theirs[b]))
        return chosen

    def _far(self, mine: Step, other: Step, places: int) -> tuple[bool, bool, float, int]:
        ours, theirs = self.first.prints, self.second.prints
        far = float(ours.operators[mine.number] != theirs.operators[other.number])
        for a, b in zip(mine.node.input, other.node.input, strict=False):
            if ours.content(a) != theirs.content(b):
                far += unlike(ours.constant(a), theirs.constant(b))
        return far > _ALIKE, mine.outputs != other.outputs, far, places
