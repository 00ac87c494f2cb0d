"""What the output of an artifact means: logits, or what a stranger's file has made of them already.

Our own files give logits. Of another file the end of the graph is tried on chosen values; where it does not tell, or
where there is no graph to read (an OM), the values tell: it is run on noise once or a few times.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.meanings import LOGITS, Answers, Rows, by_curve, by_sums, by_values
from neonext_ascend.runtimes.registry import is_om

if TYPE_CHECKING:
    from neonext_ascend.runtimes.graph_end import End

_PROBES = 4
# A softmax in 8 bits rounds each of its many small values by half a step; along another axis it is off by far more.
_COARSE = 0.5
_RANKING = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "TopK"})


def answers_of(artifact: Path, runner: Runner) -> Answers:
    """What the first output ``(N, classes)`` of a file without a manifest means; the words follow *assuming*.

    Raises:
        ArtifactError: the output holds no score for each class, or none of which more is known to be better.
    """
    rows = _rows_on_noise(runner)
    read: list[Answers] = []
    if not is_om(artifact):
        from neonext_ascend.runtimes.graph_end import read_ends

        for end in read_ends(artifact, runner.outputs[0].name):
            answers = _by_end(artifact, end, _batch(runner), rows)
            if answers is not None and all(replace(answers, words=other.words) != other for other in read):
                read.append(answers)
    if len(read) > 1:
        words = " or ".join(answers.words for answers in read)
        raise ArtifactError(f"{artifact}: gives {words}, as an If decides on the way; export it with one of the two")
    if read and read != [LOGITS]:
        return read[0]
    # What looks like logits may be a mean of probabilities, taken by a product with weights.
    return by_sums(rows) or (read[0] if read else by_values(rows))


def _by_end(artifact: Path, end: End, batch: int, on_noise: Rows) -> Answers | None:
    """By what the end does; ``None`` where it was not evaluated, or is nothing to what may stand before it.

    Raises:
        ArtifactError: it gives no score for each class, or makes less of what is more.
    """
    from neonext_ascend.runtimes.probing import probe

    if end.last in _RANKING:
        raise ArtifactError(
            f"{artifact}: ends in {end.last}, so it gives no score for each class; export it without that end"
        )
    curve = probe(end, batch, on_noise.shape[1])
    rows = on_noise if curve is None else curve.rows
    if end.last in ("Softmax", "LogSoftmax"):
        sums = (np.exp(rows) if end.last == "LogSoftmax" else rows).sum(axis=1)
        if (np.abs(sums - 1) > _COARSE).any():
            raise ArtifactError(
                f"{artifact}: its {end.last} does not run over the classes: a row sums to {sums[0]:.4g}, "
                "expected 1; export it again with the axis of the classes"
            )
    if curve is None:
        return None
    told = by_sums(rows, end.last, curve.high)
    if told is not None:
        return told
    constant = curve.constant and not np.ptp(on_noise, axis=0).any()
    if constant or (curve.falls and rows.shape[1] > 1):
        what = "gives the same for every picture" if constant else "makes less of a class the likelier it is"
        raise ArtifactError(f"{artifact}: its end ({end.last}) {what}; export it without that end")
    return by_curve(curve, end.last, end.followed)


def _batch(runner: Runner) -> int:
    length = runner.inputs[0].shape[0]
    return length if isinstance(length, int) else min(runner.gears, default=1)


def _rows_on_noise(runner: Runner) -> Rows:
    """Output rows for noise of growing size; without those that are not finite."""
    (spec,) = runner.inputs
    batch = _batch(runner)
    random = np.random.default_rng(0)
    rows = []
    for number in range(math.ceil(_PROBES / batch)):
        noise = (1 + number) * random.standard_normal((batch, *spec.shape[1:]), np.float32)  # type: ignore[arg-type] # only the batch may be a word
        rows.append(runner.infer({spec.name: noise})[runner.outputs[0].name].astype(np.float64))
    every = np.concatenate(rows)
    return every[~(np.isnan(every) | np.isposinf(every)).any(axis=1)]
