"""Classify pictures with an artifact, as its manifest says; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import NeoNextError
from neonext_ascend.images import read_image
from neonext_ascend.manifest import Manifest
from neonext_ascend.runtimes.base import Runner


@dataclass(frozen=True, slots=True)
class Guess:
    """One class: index, name and probability."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classes of one picture, best first; or the error that kept it from being read."""

    path: Path
    top: tuple[Guess, ...] = ()
    error: NeoNextError | None = None


def classify(runner: Runner, manifest: Manifest, paths: Sequence[Path], top: int) -> Iterator[Prediction]:
    """Classify pictures in the order given; one that cannot be read is reported in its place.

    Args:
        runner: the opened artifact.
        manifest: its preprocessing and labels.
        paths: of the pictures.
        top: classes for each picture.
    """
    batch = runner.inputs[0].shape[0]
    size = batch if isinstance(batch, int) else 1
    for first in range(0, len(paths), size):
        yield from _predict_batch(runner, manifest, paths[first : first + size], size, top)


def _predict_batch(
    runner: Runner, manifest: Manifest, paths: Sequence[Path], size: int, top: int
) -> Iterator[Prediction]:
    arrays: dict[Path, NDArray[np.float32]] = {}
    errors: dict[Path, NeoNextError] = {}
    for path in paths:
        try:
            arrays[path] = manifest.preprocessing(read_image(path))
        except NeoNextError as error:
            errors[path] = error
    scores: dict[Path, NDArray[np.float64]] = {}
    if arrays:
        rows = list(arrays.values())
        # A static batch is filled up with its last picture; those rows are dropped again.
        feed = np.stack(rows + [rows[-1]] * (size - len(rows)))
        logits = runner.infer({runner.inputs[0].name: feed})[runner.outputs[0].name]
        scores = dict(zip(arrays, softmax(logits), strict=False))
    for path in paths:
        if path in errors:
            yield Prediction(path, error=errors[path])
        else:
            yield Prediction(path, _best(scores[path], manifest.labels, top))


def softmax(logits: NDArray[np.generic]) -> NDArray[np.float64]:
    """Probabilities of each row ``(N, classes)``."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def _best(scores: NDArray[np.float64], labels: Sequence[str], top: int) -> tuple[Guess, ...]:
    order = np.argsort(-scores, kind="stable")[:top]
    return tuple(Guess(int(i), labels[i] if i < len(labels) else f"class_{i}", float(scores[i])) for i in order)
