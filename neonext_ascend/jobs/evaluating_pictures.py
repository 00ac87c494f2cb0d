"""The pictures of an evaluation: decoded once, prepared for each artifact, asked in batches, counted."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import beside, external_data, manifest_beside
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.evaluate.accuracy import Accuracy, Answer, Published, Share, Tally
from neonext_ascend.evaluate.classes import Classes, classes_of
from neonext_ascend.evaluate.journal import Journal
from neonext_ascend.images.dataset import Dataset, Item
from neonext_ascend.images.decoding import DECODERS, Prepared, read_pictures
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Recipe, batch_size, recipe_of, scored
from neonext_ascend.runtimes.registry import Runtime, is_om, runtime_for

if TYPE_CHECKING:
    from PIL.Image import Image

# Pictures asked about between two writings of the file, at least; and at most, but for a larger batch.
_FEWEST, _MOST = 32, 256
_MOST_DECODERS = 16
_Row = NDArray[np.float32 | np.uint8]


@dataclass(frozen=True)
class Contestant:
    """An opened artifact, and which of its ``count`` classes the data set means."""

    path: Path
    runner: Runner
    recipe: Recipe
    count: int
    classes: Classes
    runtime: Runtime
    published: Published | None = None

    @classmethod
    def of(cls, path: Path, data: Dataset, runner: Runner, runtime: Runtime = "auto") -> Self:
        """Of an artifact that ``runner`` has opened.

        Raises:
            NeoNextError: it is no network of pictures and classes, or has other classes than the data set.
        """
        recipe, count = recipe_of(path, runner), runner.outputs[0].shape[-1]
        if not isinstance(count, int) or count < 2:
            raise ArtifactError(f"{path}: gives {runner.outputs[0]}; accuracy needs a known number of classes")
        try:
            classes = classes_of(data.classes, recipe.labels, count, folders=data.rows is None)
        except UsageError as error:
            raise UsageError(f"{data.root}: {error} ({path.name})") from None
        return cls(path, runner, recipe, count, classes, runtime_for(path, runtime), _published(path, data))

    def identity(self) -> dict[str, Any]:
        """Whatever changes an answer but the pictures, in digests; a library's version may change while it is away."""
        data = set() if is_om(self.path) else external_data(self.path)
        files = [self.path, *(beside(self.path, name) for name in sorted(data))]
        answers = self.recipe.answers
        recipe = [
            asdict(self.recipe.preprocessing),
            list(self.recipe.labels),
            answers.way,
            answers.scale,
            answers.shift,
        ]
        told = json.dumps([recipe, dict(self.classes.indices)], sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()
        return {"sha256": list(map(sha256_of, files)), "recipe": digest, "runtime": self.runtime}

    def answer(self, scores: NDArray[np.float64], label: str) -> Answer:
        """What the scores ``(classes)`` say of a picture of this class; of equal ones the smaller index comes first."""
        truth = self.classes.indices[label]
        before = (scores > scores[truth]).sum() + (scores[:truth] == scores[truth]).sum()
        return Answer(int(scores.argmax()), 1 + int(before))

    def word(self, index: int) -> str:
        """A class in the data set's words, where it has one."""
        named = {number: name for name, number in self.classes.indices.items()}
        labels = self.recipe.labels
        return named.get(index) or (labels[index] if index < len(labels) else f"class_{index}")

    def accuracy(self, top1: Share, top5: Share) -> Accuracy:
        """The result."""
        told = self.recipe.trained, self.recipe.assumed
        return Accuracy(self.path, self.runner.where, *told, top1, top5, self.published)


@dataclass(frozen=True, slots=True)
class Difference:
    """A picture of which the artifacts say different classes.

    Args:
        number: its place in the data set, from 0.
        name, label: its name there and its class.
        answers: the class that each artifact says.
        right: whether each is right.
    """

    number: int
    name: str
    label: str
    answers: tuple[str, ...]
    right: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        """A line of the file."""
        return {"path": self.name, "label": self.label, "answers": list(self.answers), "right": list(self.right)}


class Asking:
    """One evaluation, from the first picture to the last.

    Args:
        contestants: the opened artifacts.
        data: the pictures.
        journal: what is known already, and takes what becomes known.
        watch: told of the progress and of each picture that cannot be read.
    """

    def __init__(self, contestants: Sequence[Contestant], data: Dataset, journal: Journal | None, watch: Watch) -> None:
        self._contestants, self._data, self._journal, self._watch = contestants, data, journal, watch
        self.tally, self.pace = Tally(len(contestants)), Pace()
        self.failures: list[tuple[str, NeoNextError]] = []
        self.differing: list[Difference] = []
        # Each way of preparing once, however many artifacts share it.
        self._ways = list(dict.fromkeys(contestant.recipe.preprocessing for contestant in contestants))

    def run(self) -> None:
        """Ask about every picture.

        Raises:
            NeoNextError: no picture could be read, or a network gives NaN or infinity.
        """
        together = math.lcm(*(batch_size(contestant.runner) for contestant in self._contestants))
        if together > _MOST:
            together = max(batch_size(contestant.runner) for contestant in self._contestants)
        together *= -(-_FEWEST // together)
        decoders = min(max(DECODERS, len(os.sched_getaffinity(0))), _MOST_DECODERS)
        items, todo = itertools.tee(self._unknown())
        waiting: list[tuple[int, Item, tuple[_Row, ...]]] = []
        with (
            self._watch.working("evaluating") as tell,
            closing(read_pictures((item.path for _, item in todo), self._prepare, decoders)) as pictures,
        ):
            for (_, picture), (number, item) in zip(self.pace.ready(pictures), items, strict=True):
                if isinstance(picture, Prepared):
                    waiting.append((number, item, picture.value))
                else:
                    self.failures.append((item.name, picture))
                    self._watch.warn(str(picture))
                if len(waiting) == together:
                    self._ask(waiting)
                    waiting = []
                    tell(f"{self.tally.images} pictures, top-1 {100 * self.tally.top1(0).value:.2f} %")
            self._ask(waiting)
        if not self.tally.images:
            kind = max((error for _, error in self.failures), key=lambda error: error.exit_code)
            wrong = FileAccessError if isinstance(kind, FileAccessError) else UsageError
            raise wrong(
                f"{self._data.root}: none of its {counted(len(self.failures), 'picture')} could be read: {kind}"
            )

    def _unknown(self) -> Iterator[tuple[int, Item]]:
        for number, listed in enumerate(self._data):
            # Marked before it is read: what is written meanwhile is asked again.
            item = listed if self._journal is None else listed.marked()
            known = None if self._journal is None else self._journal.answers(item)
            if known is None:
                yield number, item
            else:
                self._count(number, item, known)

    def _prepare(self, image: Image) -> tuple[_Row, ...]:
        return tuple(way(image) for way in self._ways)

    def _ask(self, pictures: Sequence[tuple[int, Item, tuple[_Row, ...]]]) -> None:
        said = []
        with self.pace.running():
            for contestant in self._contestants:
                way = self._ways.index(contestant.recipe.preprocessing)
                scores = scored(contestant.runner, contestant.recipe, [rows[way] for *_, rows in pictures])
                said.append(
                    [contestant.answer(row, item.label) for row, (_, item, _) in zip(scores, pictures, strict=True)]
                )
        self.pace.images += len(pictures)
        answers = list(zip(*said, strict=True))
        if self._journal is not None:
            self._journal.write([(item, each) for (_, item, _), each in zip(pictures, answers, strict=True)])
        for (number, item, _), each in zip(pictures, answers, strict=True):
            self._count(number, item, each)

    def _count(self, number: int, item: Item, answers: tuple[Answer, ...]) -> None:
        self.tally.add(item.label, answers)
        words = tuple(c.word(answer.index) for c, answer in zip(self._contestants, answers, strict=True))
        if len(set(words)) > 1:
            right = tuple(answer.rank == 1 for answer in answers)
            self.differing.append(Difference(number, item.name, item.label, words, right))


def _published(artifact: Path, data: Dataset) -> Published | None:
    """The published accuracy of a trained network that is a published one, where the data set has its 1,000 classes."""
    described = manifest_beside(artifact)
    if described is None or len(data.classes) != 1000:
        return None
    manifest = read_manifest(described)
    variant = VARIANTS.get(str(manifest.network.get("name")))
    if variant is None or variant.top1 is None or not manifest.weights.trained:
        return None
    same = json.dumps(manifest.network, sort_keys=True) == json.dumps(variant.config.to_json(), sort_keys=True)
    return Published(variant.top1, str(variant.source)) if same else None
