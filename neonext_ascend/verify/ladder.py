"""The parity ladder: one network in every form on its way to a chip, each against the one above and the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import Comparison, compare_outputs, smallest_passing, summarize
from neonext_ascend.verify.feeds import Feed

Answers = Sequence[Mapping[str, NDArray[np.generic]]]  # the outputs by name, one for each feed


@dataclass(frozen=True, slots=True)
class Flip:
    """A decision that changed.

    Args:
        picture: its file's name, or ``noise`` with the row.
        was, became: the first class in the reference and in the rung.
        margin: between the reference's first two logits, by which the decision was held.
    """

    picture: str
    was: int
    became: int
    margin: float

    def to_json(self) -> dict[str, Any]:
        """By the contract's names."""
        return {"picture": self.picture, "from": self.was, "to": self.became, "margin": self.margin}


@dataclass(frozen=True)
class Rung:
    """One form of the network against another.

    Args:
        name, against: of the two forms.
        where: what computed it, in words.
        tolerance: the bounds.
        comparisons: of each output, for each feed.
        flips: decisions that changed.
        reasons: why it fails beside its outputs: nodes that make an error, or that fp16 does not hold.
    """

    name: str
    against: str
    where: str
    tolerance: Tolerance
    comparisons: tuple[Comparison, ...]
    flips: tuple[Flip, ...]
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the outputs are within bounds and nothing else speaks against it."""
        return not self.reasons and all(one.passed for one in self.comparisons)

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it failed, in words."""
        return (*self.reasons, *(f"{one.what}: {text}" for one in self.comparisons for text in one.failures))

    def to_json(self) -> dict[str, Any]:
        """The worst figures, the flips, the smallest tolerance that passes, and the verdict."""
        worst = {
            name: value if value is not None and np.isfinite(value) else None
            for name, value in summarize(self.comparisons).items()
        }
        flips = [flip.to_json() for flip in self.flips]
        told = {"flips": flips, "smallest_passing": smallest_passing(self.comparisons, self.tolerance)}
        verdict = {"passed": self.passed, "failures": list(self.failures)}
        return {"name": self.name, "against": self.against, "where": self.where, **worst, **told, **verdict}


@dataclass(frozen=True, slots=True)
class Blame:
    """Where it went wrong, and why.

    Args:
        rung: the first that fails.
        node: that makes the error; empty where no single one does.
        cause: the likely one, in words.
        remedy: what to try.
    """

    rung: str
    node: str
    cause: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """By name; a node that is not known is ``null``."""
        return {"rung": self.rung, "node": self.node or None, "cause": self.cause, "remedy": self.remedy}


@dataclass(frozen=True)
class Ladder:
    """All rungs and what they come to.

    Args:
        checked: the artifact or model.
        rungs: from the top, each against the one above and then against the first.
        verdict: of the first that fails; ``None`` where all hold.
        control: the network in PyTorch in fp16 against itself in fp32: what fp16 costs without any export.
        notes: what was left out, and what the user should know.
        trained: whether the weights are; decisions of an untrained network mean little.
    """

    checked: str
    rungs: tuple[Rung, ...]
    verdict: Blame | None
    control: Rung | None = None
    notes: tuple[str, ...] = ()
    trained: bool = True

    @property
    def passed(self) -> bool:
        """Whether every rung holds."""
        return all(rung.passed for rung in self.rungs)

    @property
    def broken(self) -> Rung | None:
        """The first rung that fails."""
        return next((rung for rung in self.rungs if not rung.passed), None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "checked": self.checked,
            "trained": self.trained,
            "rungs": [rung.to_json() for rung in self.rungs],
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "control": None if self.control is None else self.control.to_json(),
            "notes": list(self.notes),
        }


@dataclass
class Climb:
    """A ladder in the making.

    Args:
        feeds: the inputs that every rung is given.
        rungs: those that stand.
    """

    feeds: Sequence[Feed]
    rungs: list[Rung] = field(default_factory=list)
    _answers: dict[str, Answers] = field(default_factory=dict)

    def start(self, name: str, answers: Answers) -> None:
        """The form that everything is held against."""
        self._answers = {name: answers}

    def add(
        self,
        name: str,
        where: str,
        answers: Answers,
        tolerance: Tolerance,
        reasons: Sequence[str] = (),
        above: str = "",
    ) -> bool:
        """Compare a form with the one above, ``above`` or the last that was added, and with the first.

        Returns:
            Whether it passed.
        """
        first, last = next(iter(self._answers)), above or next(reversed(self._answers))
        made = [self.compared(name, where, answers, tolerance, against) for against in dict.fromkeys((last, first))]
        made[0] = replace(made[0], reasons=tuple(reasons))
        self.rungs += made
        self._answers[name] = answers
        return all(rung.passed for rung in made)

    def compared(self, name: str, where: str, answers: Answers, tolerance: Tolerance, against: str) -> Rung:
        """One form with another; the rung is not a part of the ladder yet."""
        pairs = list(zip(self.feeds, answers, self._answers[against], strict=True))
        comparisons = tuple(
            compare_outputs(feed.what, output, got[output], right, tolerance)
            for feed, got, want in pairs
            for output, right in want.items()
        )
        flips = tuple(flip for pair in pairs for flip in _flips(*pair))
        return Rung(name, against, where, tolerance, comparisons, flips)


def answers_of(runner: Runner, feeds: Sequence[Feed]) -> Answers:
    """What a runner gives for each feed."""
    (taken, *_), given = runner.inputs, [spec.name for spec in runner.outputs]
    made = (runner.infer({taken.name: feed.for_input(taken)}) for feed in feeds)
    return [{name: outputs[name] for name in given} for outputs in made]


def _flips(feed: Feed, got: Mapping[str, NDArray[np.generic]], want: Mapping[str, NDArray[np.generic]]) -> list[Flip]:
    """Where one of the outputs decides between classes; maps decide nothing."""
    found: dict[str, Flip] = {}
    sides = (
        (got[name].astype(np.float64), right.astype(np.float64)) for name, right in want.items() if right.ndim == 2
    )
    for row, (ours, theirs) in enumerate(pair for side in sides for pair in zip(*side, strict=True)):
        was, became = int(np.argmax(theirs)), int(np.argmax(ours))
        if was != became and np.isfinite(theirs).all():  # without numbers nothing was decided
            name = feed.names[row] if feed.names else f"noise {row}"
            best = np.sort(theirs)
            found.setdefault(name, Flip(name, was, became, float(best[-1] - best[-2])))
    return list(found.values())
