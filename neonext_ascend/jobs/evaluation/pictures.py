"""The pictures of an evaluation: asked about, written down, counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.evaluate.accuracy import Accuracy, Answer, Published, Share, Tally
from neonext_ascend.evaluate.classes import Classes, classes_of
from neonext_ascend.evaluate.journal import Journal
from neonext_ascend.evaluate.panel import Ask, Panel, Told
from neonext_ascend.images.dataset import Dataset, Item
from neonext_ascend.images.pace import Pace
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Recipe, class_name, recipe_of
from neonext_ascend.runtimes.registry import Runtime, runtime_for
from neonext_ascend.runtimes.sameness import weights_digests


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
    def of(
        cls, path: Path, data: Dataset, runner: Runner, runtime: Runtime = "auto", recipe: Recipe | None = None
    ) -> Self:
        """Of an artifact that ``runner`` has opened, or describes together with its recipe.

        Raises:
            NeoNextError: it is no network of pictures and classes, or has other classes than the data set.
        """
        recipe, count = recipe or recipe_of(path, runner), runner.outputs[0].shape[-1]
        if not isinstance(count, int) or count < 2:
            raise ArtifactError(f"{path}: gives {runner.outputs[0]}; accuracy needs a known number of classes")
        try:
            classes = classes_of(data.classes, recipe.labels, count, folders=data.rows is None)
        except UsageError as error:
            raise UsageError(f"{data.root}: {error} ({path.name})") from None
        return cls(path, runner, recipe, count, classes, runtime_for(path, runtime), _published(path, data))

    def identity(self) -> dict[str, Any]:
        """Whatever changes an answer but the pictures."""
        return identity(self.path, self.recipe, self.runtime, dict(self.classes.indices))

    def answer(self, scores: NDArray[np.float64], label: str) -> Answer:
        """What the scores ``(classes)`` say of a picture of this class; of equal ones the smaller index comes first."""
        truth = self.classes.indices[label]
        before = (scores > scores[truth]).sum() + (scores[:truth] == scores[truth]).sum()
        return Answer(int(scores.argmax()), 1 + int(before))

    def word(self, index: int) -> str:
        """A class in the data set's words, where it has one."""
        named = {number: name for name, number in self.classes.indices.items()}
        return named.get(index) or class_name(self.recipe.labels, index)

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
        contestants: the artifacts.
        data: the pictures.
        journal: what is known already, and takes what becomes known.
        watch: told of the progress and of each picture that cannot be read.
        ask: gives the answers to pictures as they come; by default these contestants do, here.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        data: Dataset,
        journal: Journal[tuple[Answer, ...]] | None,
        watch: Watch,
        ask: Ask | None = None,
    ) -> None:
        self._contestants, self._data, self._journal, self._watch = contestants, data, journal, watch
        self._ask = ask or Panel([(each.runner, each.recipe, each.answer) for each in contestants]).answers
        self.tally, self.pace = Tally(len(contestants)), Pace()
        self.failures: list[tuple[str, NeoNextError]] = []
        self.differing: list[Difference] = []

    def run(self) -> None:
        """Ask about every picture.

        Raises:
            NeoNextError: no picture could be read, or a network gives NaN or infinity.
        """
        with (
            self._watch.working("evaluating") as tell,
            closing(self._ask(self._unknown(), self.pace)) as found,
        ):
            for told in found:
                self._take(told)
                if self.tally.images:
                    tell(f"{self.tally.images} pictures, top-1 {100 * self.tally.top1(0).value:.2f} %")
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
            known = None if self._journal is None else self._journal.known(item)
            if known is None:
                yield number, item
            else:
                self._count(number, item, known)

    def _take(self, told: Sequence[Told]) -> None:
        good: list[tuple[int, Item, tuple[Answer, ...]]] = []
        for number, item, answers in told:
            if isinstance(answers, NeoNextError):
                self.failures.append((item.name, answers))
                self._watch.warn(str(answers))
            else:
                good.append((number, item, answers))
        self.pace.images += len(good)
        if self._journal is not None and good:
            self._journal.write([(item, answers) for _, item, answers in good])
        for number, item, answers in good:
            self._count(number, item, answers)

    def _count(self, number: int, item: Item, answers: tuple[Answer, ...]) -> None:
        self.tally.add(item.label, answers)
        words = tuple(c.word(answer.index) for c, answer in zip(self._contestants, answers, strict=True))
        if len(set(words)) > 1:
            right = tuple(answer.rank == 1 for answer in answers)
            self.differing.append(Difference(number, item.name, item.label, words, right))


def identity(path: Path, recipe: Recipe, runtime: Runtime, told: object) -> dict[str, Any]:
    """Whatever changes an artifact's answer, in digests; a library's version may change while it is away."""
    answers = recipe.answers
    parts = [asdict(recipe.preprocessing), list(recipe.labels), answers.way, answers.scale, answers.shift]
    digest = hashlib.sha256(json.dumps([parts, told], sort_keys=True).encode()).hexdigest()
    return {"sha256": list(weights_digests(path).values()), "recipe": digest, "runtime": runtime}


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
