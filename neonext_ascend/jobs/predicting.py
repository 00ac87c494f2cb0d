"""Classify pictures with an artifact, as its manifest says; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.artifacts.reading import read_manifest
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.data import labels_for
from neonext_ascend.errors import ArtifactError, NeoNextError
from neonext_ascend.images.decoding import Picture, read_pictures
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.base import Runner


@dataclass(frozen=True, slots=True)
class Guess:
    """One class: index, name and probability."""

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
    """What an artifact's pictures and answers mean; ``assumed`` says what a user should doubt."""

    preprocessing: Preprocessing
    labels: Sequence[str]
    trained: bool = True
    assumed: str | None = None


def recipe_of(artifact: Path, runner: Runner) -> Recipe:
    """From the manifest, or for a file without one what its shapes allow.

    Raises:
        ArtifactError: the network does not turn pictures into classes, or the manifest is damaged.
        FileAccessError: the manifest cannot be read.
    """
    size, classes = _picture_size(artifact, runner), runner.outputs[0].shape[-1]
    takes_pixels = runner.inputs[0].dtype == "uint8"
    beside = manifest_path(artifact)
    if beside.exists():
        manifest = read_manifest(beside)
        batches = manifest.inputs[0].shape[0], runner.inputs[0].shape[0]
        static = isinstance(batches[0], int) or isinstance(batches[1], int)
        agree = (manifest.preprocessing.normalised_on == "device") == takes_pixels
        if manifest.preprocessing.image_size != size or not agree or (static and batches[0] != batches[1]):
            raise ArtifactError(f"{artifact}: takes {runner.inputs[0]}; its manifest describes another file")
        assumed = None
        if sha256_of(artifact) != manifest.files[0].sha256:
            assumed = (
                "changed since its export (its SHA-256 differs from the manifest's): neonext-ascend verify tells more"
            )
        return Recipe(manifest.preprocessing, manifest.labels, manifest.weights.trained, assumed)
    if takes_pixels:
        raise ArtifactError(f"{artifact}: takes pixels; its manifest {beside.name} is missing: copy both files")
    count = classes if isinstance(classes, int) else 0
    words = f"no manifest {beside.name} beside it: assuming ImageNet's resize, crop, mean and std"
    return Recipe(Preprocessing(size), labels_for("", count), assumed=words)


def _picture_size(artifact: Path, runner: Runner) -> tuple[int, int]:
    shape = runner.inputs[0].shape
    axis = 3 if runner.inputs[0].dtype == "uint8" else 1  # AIPP takes pixels (N, H, W, 3)
    if len(runner.inputs) == 1 and len(shape) == 4 and shape[axis] == 3 and len(runner.outputs[0].shape) == 2:
        height, width = (shape[i] for i in (1, 2, 3) if i != axis)
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    raise ArtifactError(
        f"{artifact}: predict needs one picture input (N, 3, H, W) and classes (N, K) as output; this file has "
        f"{', '.join(map(str, runner.inputs))} and {', '.join(map(str, runner.outputs))}"
    )


def classify(runner: Runner, recipe: Recipe, paths: Sequence[Path], top: int) -> Iterator[Prediction]:
    """Classify pictures in the order given; one that cannot be read is reported in its place.

    Pictures stream: a bounded number is decoded ahead, so memory does not grow with their count.

    Args:
        runner: the opened artifact.
        recipe: its preprocessing and labels.
        paths: of the pictures.
        top: classes for each picture.
    """
    batch = runner.inputs[0].shape[0]
    size = batch if isinstance(batch, int) else max(runner.gears, default=1)
    waiting: list[tuple[Path, Picture | NeoNextError]] = []
    for entry in read_pictures(paths):
        waiting.append(entry)
        if sum(isinstance(picture, Picture) for _, picture in waiting) == size:
            yield from _classify_batch(runner, recipe, waiting, size, top)
            waiting = []
    if waiting:
        # The rest takes the smallest gear that holds it.
        rest = sum(isinstance(picture, Picture) for _, picture in waiting)
        size = min((gear for gear in runner.gears if gear >= rest), default=size)
        yield from _classify_batch(runner, recipe, waiting, size, top)


def _classify_batch(
    runner: Runner, recipe: Recipe, entries: Sequence[tuple[Path, Picture | NeoNextError]], size: int, top: int
) -> Iterator[Prediction]:
    rows = [recipe.preprocessing(picture.image) for _, picture in entries if isinstance(picture, Picture)]
    scores: Iterator[NDArray[np.float64]] = iter(())
    if rows:
        # A static batch is filled up with its last picture; those rows are dropped again.
        feed = np.stack(rows + [rows[-1]] * (size - len(rows)))
        logits = runner.infer({runner.inputs[0].name: feed})[runner.outputs[0].name]
        if not np.isfinite(logits).all():
            raise ArtifactError(f"{runner.name}: gives NaN or infinity; its weights are damaged, or too large for fp16")
        scores = iter(softmax(logits))
    for path, picture in entries:
        if isinstance(picture, Picture):
            yield Prediction(path, _best(next(scores), recipe.labels, top), picture.note)
        else:
            yield Prediction(path, error=picture)


def softmax(logits: NDArray[np.generic]) -> NDArray[np.float64]:
    """Probabilities of each row ``(N, classes)``."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def _best(scores: NDArray[np.float64], labels: Sequence[str], top: int) -> tuple[Guess, ...]:
    order = np.argsort(-scores, kind="stable")[:top]
    return tuple(Guess(int(i), labels[i] if i < len(labels) else f"class_{i}", float(scores[i])) for i in order)
