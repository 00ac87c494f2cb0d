"""The parity check: an artifact against the network it was made from, or against stored values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neonext_ascend.errors import ArtifactError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import Comparison, compare_outputs, smallest_passing, summarize
from neonext_ascend.verify.feeds import Feed, infer_feed, noise_feed
from neonext_ascend.verify.own_answers import OwnAnswers
from neonext_ascend.verify.points import PointError, compare_points, compare_samples, first_departure
from neonext_ascend.verify.stored import compare_stored, stored_values

if TYPE_CHECKING:  # it loads onnx, which a machine that only runs an OM lacks
    from neonext_ascend.verify.half import HalfVerdict

# Opens the same network again with further outputs: point names -> runner.
OpenWithPoints = Callable[[Sequence[str]], Runner]


@dataclass(frozen=True)
class ParityReport:
    """The verdict on one network and the figures it rests on.

    Args:
        reference: what the candidate was compared with.
        candidate: what ran.
        tolerance: the bounds.
        comparisons: of each output, for each feed.
        points: of the inner points on the first feed, in the network's order.
        changed: constants of the file that are not those that were exported; LayerScale and half precision can hide
            them from every output.
        own: of an int8 file, beside its own answers at its export.
    """

    reference: str
    candidate: str
    tolerance: Tolerance
    comparisons: tuple[Comparison, ...]
    points: tuple[PointError, ...]
    changed: tuple[str, ...] = ()
    own: OwnAnswers | None = None

    @property
    def passed(self) -> bool:
        """Whether every output and every point are within bounds."""
        outputs = all(c.passed for c in self.comparisons) and all(p.passed for p in self.points)
        return outputs and not self.changed and (self.own is None or self.own.passed)

    @property
    def departure(self) -> str | None:
        """The first point at which the two depart; ``None`` where they do not."""
        if self.passed:
            return None
        outputs = [c.output for c in (*self.comparisons, *([self.own] if self.own else ())) if not c.passed]
        return first_departure(self.points) or (*outputs, *self.changed)[0]

    def reasons(self) -> list[str]:
        """Why it failed, in words."""
        words = [f"{c.what}: {failure}" for c in self.comparisons for failure in c.failures]
        bad = [p for p in self.points if not p.passed]
        if bad:
            words.append(
                f"{len(bad)} of {len(self.points)} inner points differ by more than rounding, the first at "
                f"{bad[0].name} (relative {bad[0].relative:.3g}, allowed {self.tolerance.point_relative:g})"
            )
        if self.changed:
            others = f" and {len(self.changed) - 1} more" if len(self.changed) > 1 else ""
            words.append(f"constant {self.changed[0]}{others} is not the one that was exported")
        if self.own is not None and not self.own.passed:
            words.append(self.own.reason)
        return words

    def to_json(self) -> dict[str, Any]:
        """Verdict, worst figures, and all of them in detail."""
        return {
            "passed": self.passed,
            "reference": self.reference,
            "candidate": self.candidate,
            **_finite(summarize(self.comparisons)),
            "tolerance": self.tolerance.to_json(),
            "smallest_passing": smallest_passing(self.comparisons, self.tolerance),
            "first_departure": self.departure,
            "changed_constants": list(self.changed),
            "own_answers": None if self.own is None else self.own.to_json(),
            "reasons": self.reasons(),
            "feeds": [c.to_json() for c in self.comparisons],
            "points": [p.to_json() for p in self.points],
        }


@dataclass(frozen=True)
class Verdict:
    """The artifact's parity, and what else was judged.

    Args:
        artifact: against its reference.
        twin: for untrained weights, the parity of a twin whose every weight matters.
        half: whether half precision as a chip computes it holds every node, for each way of overflowing; empty where
            nothing is computed in it.
    """

    artifact: ParityReport
    twin: ParityReport | None = None
    half: tuple[HalfVerdict, ...] = ()

    @classmethod
    def of(cls, reports: Sequence[ParityReport]) -> Verdict:
        """On a network and, where there is a second report, its twin."""
        return cls(reports[0], reports[1] if len(reports) > 1 else None)

    @property
    def passed(self) -> bool:
        """Whether all of them hold."""
        return self.artifact.passed and (self.twin is None or self.twin.passed) and all(h.passed for h in self.half)

    @property
    def failure(self) -> str:
        """Why it failed, in a few words; half precision where that alone fails."""
        reasons = [reason for half in self.half if not half.passed for reason in half.reasons()]
        numbers = self.artifact.passed and (self.twin is None or self.twin.passed)
        return reasons[0] if numbers and reasons else "parity failed"

    def to_json(self) -> dict[str, Any]:
        """The artifact's report with the others inside."""
        return {
            **self.artifact.to_json(),
            "passed": self.passed,
            "twin": None if self.twin is None else self.twin.to_json(),
            "half": [verdict.to_json() for verdict in self.half],
        }


@dataclass(frozen=True)
class Checked:
    """A report, and what a manifest keeps of the reference: see :func:`stored_values`."""

    report: ParityReport
    stored: dict[str, Any]


def check_parity(
    candidate: Runner,
    candidate_points: OpenWithPoints,
    reference: Runner,
    feeds: Iterable[Feed],
    point_names: Sequence[str],
    tolerance: Tolerance,
) -> Checked:
    """Run both on the same feeds.

    Args:
        candidate: the artifact, as it will be used.
        candidate_points: opens it with inner points as outputs.
        reference: gives its outputs in the candidate's order, then the points by the same names.
        feeds: the inputs, seeded noise first; points are compared on it.
        point_names: in the network's order.
        tolerance: the bounds.
    """
    comparisons: list[Comparison] = []
    points: list[PointError] = []
    stored: dict[str, Any] = {}
    for number, feed in enumerate(feeds):
        want = reference.infer({reference.inputs[0].name: feed.for_input(reference.inputs[0])})
        got = infer_feed(candidate, feed)
        comparisons += [
            compare_outputs(feed.what, ours.name, got[ours.name], want[theirs.name], tolerance)
            for ours, theirs in zip(candidate.outputs, reference.outputs, strict=False)
        ]
        if number == 0:
            stored = stored_values(feed, reference, want, len(candidate.outputs), point_names)
            if point_names:
                with candidate_points(point_names) as opened:
                    inner = infer_feed(opened, feed)
                points = compare_points(point_names, inner, want, tolerance)
    report = ParityReport(reference.name, candidate.name, tolerance, tuple(comparisons), tuple(points))
    return Checked(report, stored)


def check_stored(
    candidate: Runner,
    candidate_points: OpenWithPoints,
    stored: Mapping[str, Any],
    tolerance: Tolerance,
    preprocessing: Preprocessing | None = None,
) -> ParityReport:
    """Compare with :func:`stored_values`; arguments as of :func:`check_parity`.

    Raises:
        ArtifactError: the manifest's values cannot be read.
    """
    try:
        shape = tuple(int(n) for n in stored["input_shape"])
        if len(shape) != 4 or min(shape) < 1 or int(np.prod(shape, dtype=object)) > 2**28:
            raise ValueError(f"input shape {shape}")
        feed = noise_feed(shape, preprocessing if stored.get("pixels") else None, int(stored["seed"]))
        names = list(stored["points"])
        comparisons = compare_stored(candidate, feed, stored, tolerance)
        points: list[PointError] = []
        if names:
            with candidate_points(names) as opened:
                inner = infer_feed(opened, feed)
            points = compare_samples(names, inner, stored["points"], tolerance)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the manifest's reference values cannot be read: {error}") from None
    return ParityReport("the values stored in the manifest", candidate.name, tolerance, comparisons, tuple(points))


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {k: (v if v is not None and np.isfinite(v) else None) for k, v in figures.items()}
