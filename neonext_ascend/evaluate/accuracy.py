"""How often artifacts are right on the same pictures, and the interval around each share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_Z = 1.959963984540054  # of a two-sided 95 %: the normal distribution's 0.975 quantile


@dataclass(frozen=True, slots=True)
class Share:
    """``right`` of ``images``, and Wilson's 95 % interval around the share.

    Wilson (1927): the shares ``p`` for which ``|right / images - p| <= z sqrt(p (1 - p) / images)``. It has a width at
    0 and at 1 too, and never leaves them.
    """

    right: int
    images: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound, from 0 to 1."""
        n, z2 = self.images, _Z * _Z
        middle = (self.right + z2 / 2) / (n + z2)
        half = _Z / (n + z2) * math.sqrt(self.right * (n - self.right) / n + z2 / 4)
        # At the ends the formula gives 0 and 1, but for rounding.
        low = 0.0 if self.right == 0 else middle - half
        return low, 1.0 if self.right == n else middle + half

    def to_json(self) -> dict[str, float]:
        """Value and bounds."""
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one artifact said of one picture.

    Args:
        index: its best class.
        rank: the place of the true class, from 1; of equal scores the smaller index comes first.
    """

    index: int
    rank: int


@dataclass(frozen=True, slots=True)
class Published:
    """The top-1 in percent that was published of a network on ImageNet's validation pictures, and where."""

    top1: float
    source: str


@dataclass(frozen=True)
class Accuracy:
    """What was found of one artifact.

    Args:
        artifact: the file.
        where: what computed.
        trained: whether the answers mean anything; ``None`` where no manifest tells.
        assumed: what was assumed of pictures and answers, in words; ``None`` where nothing was.
        top1, top5: over all pictures that could be read.
        published: what there is to compare with.
    """

    artifact: Path
    where: str
    trained: bool | None
    assumed: str | None
    top1: Share
    top5: Share
    published: Published | None

    def to_json(self) -> dict[str, Any]:
        """Its part of ``eval --json``."""
        return {
            "path": str(self.artifact.absolute()),
            "images": self.top1.images,
            "top1": self.top1.to_json(),
            "top5": self.top5.to_json(),
            "runtime": self.where,
            "trained": self.trained,
            "assumed": self.assumed,
            "published": None if self.published is None else asdict(self.published),
        }


class Tally:
    """Counts over pictures, for several artifacts at once: no picture is kept.

    Args:
        artifacts: their number.
    """

    def __init__(self, artifacts: int) -> None:
        self._top5 = [0] * artifacts
        # For each class, how often which of the artifacts were right.
        self._right: dict[str, Counter[tuple[bool, ...]]] = {}

    def add(self, label: str, answers: Sequence[Answer]) -> None:
        """Count one picture, with an answer of each artifact."""
        self._right.setdefault(label, Counter())[tuple(answer.rank == 1 for answer in answers)] += 1
        for number, answer in enumerate(answers):
            self._top5[number] += answer.rank <= 5

    @property
    def images(self) -> int:
        """Pictures counted."""
        return sum(counts.total() for counts in self._right.values())

    @property
    def classes(self) -> list[str]:
        """Of which there was a picture, sorted."""
        return sorted(self._right)

    def top1(self, artifact: int, label: str | None = None) -> Share:
        """Of all pictures, or of one class."""
        counts = self._patterns() if label is None else self._right[label]
        return Share(sum(n for right, n in counts.items() if right[artifact]), counts.total())

    def top5(self, artifact: int) -> Share:
        """Of all pictures."""
        return Share(self._top5[artifact], self.images)

    def only(self, first: int, second: int) -> tuple[int, int]:
        """Pictures that only the first has right, and only the second."""
        counts = self._patterns()
        return (
            sum(n for right, n in counts.items() if right[first] and not right[second]),
            sum(n for right, n in counts.items() if right[second] and not right[first]),
        )

    def per_class(self, artifacts: int) -> dict[str, dict[str, Any]]:
        """For each class its pictures, and the share of each artifact."""
        shares = {label: [self.top1(number, label) for number in range(artifacts)] for label in self.classes}
        return {
            label: {"images": each[0].images, "top1": [share.to_json() for share in each]}
            for label, each in shares.items()
        }

    def _patterns(self) -> Counter[tuple[bool, ...]]:
        return sum(self._right.values(), Counter())
