"""What an artifact's pictures and answers mean, and pictures classified by it in a stream; loads no torch."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import manifest_beside
from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.data import labels_for
from neonext_ascend.errors import ArtifactError, NeoNextError
from neonext_ascend.images.decoding import Prepared, read_pictures
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.answers import answers_of
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.meanings import LOGITS, ONE_LOGIT, Answers
from neonext_ascend.runtimes.onnx_file import free_words

_Row = NDArray[np.float32 | np.uint8]


@dataclass(frozen=True, slots=True)
class Guess:
    """One class: index, name and score: its probability, unless :class:`Recipe` says that its answers hold none."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classes of one picture, best first; or the error that kept it from being read.

    ``note`` says what the user should know of how it was read.
    """

    path: Path
    top: tuple[Guess, ...] = ()
    note: str | None = None
    error: NeoNextError | None = None


@dataclass(frozen=True)
class Recipe:
    """What an artifact's pictures and answers mean.

    Attributes:
        preprocessing: of pictures.
        labels: the names of its classes.
        trained: whether its answers mean anything; ``None`` where no manifest tells.
        assumed: what a user should doubt, in words; ``None`` where that is nothing.
        answers: how its output becomes scores.
    """

    preprocessing: Preprocessing
    labels: Sequence[str]
    trained: bool | None
    assumed: str | None = None
    answers: Answers = LOGITS

    @classmethod
    def of(cls, manifest: Manifest, doubts: Sequence[str] = ()) -> Recipe:
        """As the manifest says, and what else a user should doubt."""
        answers = ONE_LOGIT if manifest.outputs[0].shape[-1] == 1 else LOGITS
        assumed = [*doubts, *([f"assuming {answers.words}"] if answers is ONE_LOGIT else [])]
        return cls(
            manifest.preprocessing, manifest.labels, manifest.weights.trained, "; ".join(assumed) or None, answers
        )


def recipe_of(artifact: Path, runner: Runner) -> Recipe:
    """From the manifest, or for a file without one what its graph, its values and its shapes tell.

    Raises:
        ArtifactError: the network does not turn pictures into classes, or the manifest is damaged.
        FileAccessError: the manifest cannot be read.
    """
    beside = manifest_beside(artifact)
    manifest = None if beside is None else read_manifest(beside)
    if manifest is not None and manifest.features is not None:
        raise ArtifactError(f"{artifact}: gives maps, no classes (export --features); export it without for classes")
    size, classes = _picture_size(artifact, runner), runner.outputs[0].shape[-1]
    takes_pixels = runner.inputs[0].dtype == "uint8"
    if manifest is not None:
        batches = manifest.inputs[0].shape[0], runner.inputs[0].shape[0]
        static = isinstance(batches[0], int) or isinstance(batches[1], int)
        agree = (manifest.preprocessing.normalised_on == "device") == takes_pixels
        if manifest.preprocessing.image_size != size or not agree or (static and batches[0] != batches[1]):
            raise ArtifactError(f"{artifact}: takes {runner.inputs[0]}; its manifest describes another file")
        assumed = []
        if sha256_of(artifact) != manifest.artifact.files[0].sha256:
            assumed.append(
                "changed since its export (its SHA-256 differs from the manifest's): neonext-ascend verify tells more"
            )
        return Recipe.of(manifest, assumed)
    name = manifest_path(artifact).name
    if takes_pixels:
        raise ArtifactError(f"{artifact}: takes pixels; its manifest {name} is missing: copy both files")
    answers = answers_of(artifact, runner)
    count = classes if isinstance(classes, int) else 0
    ways = "resize, crop, mean and std" + ", its names of classes" * (count == 1000)
    words = f"no manifest {name} beside it: assuming ImageNet's {ways}, and {answers.words}"
    return Recipe(Preprocessing(size), labels_for("", count), None, words, answers)


def _picture_size(artifact: Path, runner: Runner) -> tuple[int, int]:
    shape = runner.inputs[0].shape
    axis = 3 if runner.inputs[0].dtype == "uint8" else 1  # AIPP takes pixels (N, H, W, 3)
    if len(runner.inputs) == 1 and len(shape) == 4 and shape[axis] == 3 and len(runner.outputs[0].shape) == 2:
        height, width = (shape[i] for i in (1, 2, 3) if i != axis)
        if isinstance(height, int) and isinstance(width, int):
            return height, width
        if axis == 1:
            raise ArtifactError(f"{artifact}: {free_words(runner.inputs[0].name, shape)}")
    raise ArtifactError(
        f"{artifact}: turns no pictures into classes: expected one input (N, 3, H, W) and as output (N, K); it has "
        f"{', '.join(map(str, runner.inputs))} and {', '.join(map(str, runner.outputs))}"
    )


def classify(runner: Runner, recipe: Recipe, paths: Iterable[Path], top: int) -> Generator[Prediction]:
    """Classify pictures in the order given; one that cannot be read is reported in its place.

    Pictures stream: a bounded number is prepared ahead, so memory does not grow with their count.

    Args:
        runner: the opened artifact.
        recipe: its preprocessing, labels and answers.
        paths: of the pictures.
        top: classes for each picture.

    Raises:
        ArtifactError: the network gives NaN or infinity.
    """
    size = batch_size(runner)
    waiting: list[tuple[Path, Prepared[_Row] | NeoNextError]] = []
    ready = 0
    for entry in read_pictures(paths, recipe.preprocessing):
        waiting.append(entry)
        ready += isinstance(entry[1], Prepared)
        if ready == size:
            yield from _classify_batch(runner, recipe, waiting, top)
            waiting, ready = [], 0
    if waiting:
        yield from _classify_batch(runner, recipe, waiting, top)


def batch_size(runner: Runner) -> int:
    """How many pictures are fed at once: a static batch, the largest gear, or one."""
    batch = runner.inputs[0].shape[0]
    return batch if isinstance(batch, int) else max(runner.gears, default=1)


def scored(runner: Runner, recipe: Recipe, rows: Sequence[_Row]) -> Iterator[NDArray[np.float64]]:
    """The scores ``(classes)`` of each prepared picture.

    Raises:
        ArtifactError: the network gives NaN or infinity.
    """
    size = batch_size(runner)
    for start in range(0, len(rows), size):
        piece = list(rows[start : start + size])
        # The rest takes the smallest gear that holds it. A batch is filled up with its last picture, dropped again.
        fed = min((gear for gear in runner.gears if gear >= len(piece)), default=size)
        feed = np.stack(piece + [piece[-1]] * (fed - len(piece)))
        values = runner.infer({runner.inputs[0].name: feed})[runner.outputs[0].name]
        yield from recipe.answers.scores(values, runner.name)[: len(piece)]


def _classify_batch(
    runner: Runner, recipe: Recipe, entries: Sequence[tuple[Path, Prepared[_Row] | NeoNextError]], top: int
) -> Iterator[Prediction]:
    scores = scored(runner, recipe, [picture.value for _, picture in entries if isinstance(picture, Prepared)])
    for path, picture in entries:
        if isinstance(picture, Prepared):
            yield Prediction(path, best(next(scores), recipe.labels, top), picture.note)
        else:
            yield Prediction(path, error=picture)


def best(scores: NDArray[np.float64], labels: Sequence[str], top: int) -> tuple[Guess, ...]:
    """The likeliest ``top`` classes of one picture's scores ``(classes)``, best first."""
    order = np.argsort(-scores, kind="stable")[:top]
    return tuple(Guess(int(i), class_name(labels, i), float(scores[i])) for i in order)


def class_name(labels: Sequence[str], index: int) -> str:
    """Of a class; what has no label is called by its number."""
    return labels[index] if index < len(labels) else f"class_{index}"
