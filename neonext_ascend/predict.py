"""Classify pictures with an artifact, as its manifest says; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import NeoNextError
from neonext_ascend.manifest import Manifest
from neonext_ascend.pictures import Picture, read_pictures
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


def classify(runner: Runner, manifest: Manifest, paths: Sequence[Path], top: int) -> Iterator[Prediction]:
    """Classify pictures in the order given; one that cannot be read is reported in its place.

    Pictures stream: a bounded number is decoded ahead, so memory does not grow with their count.

    Args:
        runner: the opened artifact.
        manifest: its preprocessing and labels.
        paths: of the pictures.
        top: classes for each picture.
    """
    batch = runner.inputs[0].shape[0]
    size = batch if isinstance(batch, int) else 1
    waiting: list[tuple[Path, Picture | NeoNextError]] = []
    for entry in read_pictures(paths):
        waiting.append(entry)
        if sum(isinstance(picture, Picture) for _, picture in waiting) == size:
            yield from _classify_batch(runner, manifest, waiting, size, top)
            waiting = []
    if waiting:
        yield from _classify_batch(runner, manifest, waiting, size, top)


def _classify_batch(
    runner: Runner, manifest: Manifest, entries: Sequence[tuple[Path, Picture | NeoNextError]], size: int, top: int
) -> Iterator[Prediction]:
    rows = [manifest.preprocessing(picture.image) for _, picture in entries if isinstance(picture, Picture)]
    scores: Iterator[NDArray[np.float64]] = iter(())
    if rows:
        # A static batch is filled up with its last picture; those rows are dropped again.
        feed = np.stack(rows + [rows[-1]] * (size - len(rows)))
        scores = iter(softmax(runner.infer({runner.inputs[0].name: feed})[runner.outputs[0].name]))
    for path, picture in entries:
        if isinstance(picture, Picture):
            yield Prediction(path, _best(next(scores), manifest.labels, top), picture.note)
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
