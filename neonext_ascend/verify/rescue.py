"""A set of nodes that, kept in fp32, lets half precision hold a graph, and of which none can be left out.

What is beyond fp16 in exact numbers, and what reads it, is kept first; then what an alarm names; then, where the
answers alone fail, the nodes that add most of the error, as many as bisection finds to be needed. At last each node is
left out once: one that is not missed does not belong to the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neonext_ascend.errors import ParityError, counted
from neonext_ascend.precision.half import LARGEST, OVERFLOWS, Overflow
from neonext_ascend.precision.modes import ALL, PRODUCTS, HalfMode
from neonext_ascend.precision.report import HalfNode
from neonext_ascend.runtimes.steps import Steps
from neonext_ascend.spec import MOVES
from neonext_ascend.verify.feeds import Feed
from neonext_ascend.verify.half import HalfVerdict, judge_steps

_MOST_TRIES = 400


@dataclass(frozen=True)
class Rescue:
    """Nodes that are kept in fp32, and what that costs.

    Args:
        keep: their names, in the graph's order.
        beyond: of these the ones whose own result fp16 cannot hold; the others read it, or add to the error.
        products: of these the ones that multiply on the cube unit, which then has to do it in fp32.
        casts: values that change their dtype at the edge of the set.
        verdicts: of the graph with the set kept, for each way of overflowing.
        tries: how often the graph was computed.
        largest: magnitude of each value in exact numbers.
        settled: whether each node was left out once, and missed; else the search stopped, and fewer may do.
    """

    keep: tuple[str, ...]
    beyond: tuple[str, ...]
    products: tuple[str, ...]
    casts: int
    verdicts: tuple[HalfVerdict, ...]
    tries: int
    largest: Mapping[str, float]
    settled: bool = True

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "keep_fp32": list(self.keep),
            "beyond": list(self.beyond),
            "products": list(self.products),
            "casts": self.casts,
            "tries": self.tries,
            "settled": self.settled,
            "fp16": self.verdicts[0].report.fp16,
        }


def rescue(steps: Steps, feeds: Iterable[Feed], overflows: Sequence[Overflow], mode: HalfMode = ALL) -> Rescue:
    """Find the set; of several that pass, the one that the search comes to.

    Args:
        steps: the graph, as it is in fp32.
        feeds: the inputs; the first of each kind is used.
        overflows: the chip's way of overflowing, or both.
        mode: what is rounded, and what is kept already.

    Raises:
        ParityError: fp16 does not hold the graph whatever is kept.
        ArtifactError: a node cannot be computed.
    """
    search = _Search(steps, list({feed.kind: feed for feed in reversed(list(feeds))}.values()), overflows, mode)
    keep = search.smallest(search.enough())
    verdicts = search.judge(keep)
    return Rescue(
        search.ordered(keep),
        search.ordered(keep & search.beyond),
        tuple(step.name for step in steps.steps if step.name in keep and step.node.op_type in PRODUCTS),
        search.casts(keep),
        verdicts,
        search.tries,
        search.largest,
        search.settled,
    )


def by_error(steps: Steps, feeds: Iterable[Feed]) -> tuple[str, ...]:
    """Every node that computes something in half precision, the one that adds most to the error first."""
    search = _Search(steps, list(feeds), OVERFLOWS[-1:], ALL)
    (verdict,) = search.judge(set())
    return tuple(search.by_error(verdict.report.nodes))


class _Search:
    """Sets that were tried on one graph."""

    def __init__(self, steps: Steps, feeds: Sequence[Feed], overflows: Sequence[Overflow], mode: HalfMode) -> None:
        self.steps, self.feeds, self.overflows, self.mode = steps, feeds, overflows, mode
        self.tries, self.settled = 0, True
        self.every = {step.name for step in steps.steps if step.node.op_type not in MOVES}
        self.largest = self._magnitudes()
        over = {name for name, value in self.largest.items() if not value <= LARGEST}
        self.beyond = {step.name for step in steps.steps if over & set(step.outputs)}
        self.reading = {step.name for step in steps.steps if over & set(step.inputs)}

    def _magnitudes(self) -> dict[str, float]:
        """Of each floating value in exact numbers, on any of the feeds."""
        largest: dict[str, float] = {}
        for feed in self.feeds:
            for step, known in self.steps.iterate({self.steps.inputs[0]: feed.array}):
                for name in step.outputs:
                    if known[name].dtype == np.float32:
                        magnitude = np.abs(known[name]).max(initial=0.0)
                        largest[name] = float(np.maximum(largest.get(name, 0.0), magnitude))  # NaN stays NaN
        return largest

    def judge(self, keep: set[str]) -> tuple[HalfVerdict, ...]:
        """The verdicts with these nodes kept as well."""
        self.tries += 1
        mode = replace(self.mode, keep={*self.mode.keep, *keep})
        return judge_steps(self.steps, self.feeds, self.overflows, mode)

    def passes(self, keep: set[str]) -> bool:
        """Whether fp16 holds the graph with these kept."""
        return all(verdict.passed for verdict in self.judge(keep))

    def enough(self) -> set[str]:
        """A set that passes, not yet the smallest."""
        keep = set[str]()
        verdicts = self.judge(keep)
        first = (self.beyond | self.reading) & self.every
        if first and not all(verdict.passed for verdict in verdicts):
            keep, verdicts = first, self.judge(first)
        while not all(verdict.passed for verdict in verdicts):
            alarms = [alarm for verdict in verdicts for alarm in verdict.report.alarms]
            named = {name for alarm in alarms for name in self._between(alarm.node, alarm.seen_at)} & self.every
            if not named - keep or self.tries > _MOST_TRIES:
                return self._bisected(keep, verdicts)
            keep |= named
            verdicts = self.judge(keep)
        return keep

    def _between(self, node: str, seen_at: str) -> set[str]:
        """The nodes on the ways from one to another, both included."""
        if not seen_at:
            return {node}
        names, outputs = [step.name for step in self.steps.steps], {s.name: s.outputs for s in self.steps.steps}
        behind, ways = {node}, {seen_at}
        for name in names:
            if name in behind:
                behind |= {reader.name for value in outputs[name] for reader in self.steps.readers.get(value, ())}
        for name in reversed(names):
            if any(reader.name in ways for value in outputs[name] for reader in self.steps.readers.get(value, ())):
                ways.add(name)
        return behind & ways | {node}

    def _bisected(self, keep: set[str], verdicts: Sequence[HalfVerdict]) -> set[str]:
        """With the nodes that add most of the error, as few of them as pass."""
        worst = next(verdict for verdict in verdicts if not verdict.passed)
        ranked = [name for name in self.by_error(worst.report.nodes) if name not in keep]
        ranked += [name for name in self.ordered(self.every - keep) if name not in ranked]
        low, high = 0, len(ranked)
        if not self.passes(keep | set(ranked)):
            raise ParityError(
                f"half precision does not hold the graph even with all {counted(len(self.every), 'node')} in fp32: "
                f"{worst.reasons()[0]}"
            )
        while high - low > 1:
            middle = (low + high) // 2
            if self.passes(keep | set(ranked[:middle])):
                high = middle
            else:
                low = middle
        return keep | set(ranked[:high])

    def by_error(self, nodes: Sequence[HalfNode]) -> list[str]:
        """Names, the largest growth of the error over what a node was handed first."""
        errors = {node.name: node.relative for node in nodes}
        makers = self.steps.makers
        inputs = {
            step.name: [errors.get(makers[n].name, 0.0) for n in step.inputs if n in makers]
            for step in self.steps.steps
        }
        growth = {name: error - max(inputs[name], default=0.0) for name, error in errors.items()}
        return sorted((name for name in growth if name in self.every), key=lambda name: -growth[name])

    def smallest(self, keep: set[str]) -> set[str]:
        """Without what is not missed: large pieces are left out first, then each node."""
        size = max(1, len(keep) // 2)
        while keep:
            names, dropped = self.ordered(keep), False
            for start in range(0, len(names), size):
                piece = set(names[start : start + size]) & keep
                self.settled = self.settled and self.tries < _MOST_TRIES
                if piece and self.settled and self.passes(keep - piece):
                    keep, dropped = keep - piece, True
            if size == 1 and not dropped:
                break
            size = max(1, size // 2)
        return keep

    def ordered(self, names: set[str]) -> tuple[str, ...]:
        """In the order of the graph."""
        return tuple(step.name for step in self.steps.steps if step.name in names)

    def casts(self, keep: set[str]) -> int:
        """Values that cross the edge of the set."""
        kept = {name for step in self.steps.steps if step.name in keep for name in step.outputs}
        read = {n for s in self.steps.steps if s.name in keep for n in s.inputs if self.steps.constant(n) is None}
        left = {n for s in self.steps.steps if s.name not in keep for n in s.inputs if n in kept}
        return len(read - kept) + len(left)
