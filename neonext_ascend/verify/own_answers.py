"""An int8 file's own answers: float32's are so far from them that a wrong constant hides in between.

The rounding of one number may move the logits of one row by 3 %, as far as a transposed matrix does: one row tells
nothing. But roundings go either way and a wrong constant goes one: over 16 rows the mean answer hardly moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import TOLERANCES
from neonext_ascend.verify.compare import compare_maps
from neonext_ascend.verify.feeds import infer_feed, noise_feed

ROWS = 16
# Allowed is three times what other roundings of this very file moved at its export, and at least three times the most
# that any did of nano in eight calibrations (0.0040 with fp16 between the layers, 0.0012 in fp32): 0.012. nano's square
# constants, transposed one by one, moved 0.021 and more. T with weights of order 1: 0.0074, so 0.022; six of its 36
# transposed 0.036 and more.
TIMES, LEAST = 3.0, 0.004
_MOST = 0.05  # allowed: beyond it anything would pass
_KEPT = 256  # numbers of an output


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """How far an int8 file is from its own answers.

    Args:
        output: the one that is farthest.
        relative: largest difference of its mean over the rows, over the mean of each row's largest magnitude.
        allowed: of it.
    """

    output: str
    relative: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether it is within what is allowed."""
        return self.relative <= self.allowed

    @property
    def reason(self) -> str:
        """Why it failed, in words."""
        return (
            f"{self.output} is {self.relative:.2g} off this int8 file's own answers at its export, allowed is "
            f"{self.allowed:.2g}"
        )

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        relative = self.relative if np.isfinite(self.relative) else None
        return {"output": self.output, "relative": relative, "allowed": self.allowed, "passed": self.passed}


def own_answers(runner: Runner, batch: int, preprocessing: Preprocessing) -> dict[str, Any]:
    """What a manifest keeps of an int8 file's answers.

    Args:
        runner: the QDQ file, on the CPU.
        batch: rows that are fed at once.
        preprocessing: of pictures; noise in pixels is normalised by it.
    """
    outputs = {
        name: {"magnitude": float(f"{magnitude:.7g}"), "values": [float(f"{value:.7g}") for value in values]}
        for name, (magnitude, values) in _means(runner, batch, preprocessing).items()
    }
    return {"computed_by": runner.name, "outputs": outputs, "rounding": 0.0}


def with_rounding_of(
    kept: Mapping[str, Any], runner: Runner, batch: int, preprocessing: Preprocessing
) -> dict[str, Any]:
    """The same with how far they are moved by one that rounds otherwise, and says the same."""
    moved = _farthest(_means(runner, batch, preprocessing), kept["outputs"])[1]
    return {**kept, "rounding": max(moved, float(kept["rounding"])) if np.isfinite(moved) else kept["rounding"]}


def held_to(kept: Mapping[str, Any], runner: Runner, batch: int, preprocessing: Preprocessing) -> OwnAnswers:
    """An int8 artifact beside :func:`own_answers`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: they are none.
    """
    output, relative = _farthest(_means(runner, batch, preprocessing), kept["outputs"])
    return OwnAnswers(output, relative, min(TIMES * max(float(kept["rounding"]), LEAST), _MOST))


def _means(runner: Runner, batch: int, preprocessing: Preprocessing) -> dict[str, tuple[float, NDArray[Any]]]:
    """Of each output the mean of its rows' largest magnitudes, and a part of its mean row; float64."""
    pixels = replace(preprocessing, normalised_on="device")  # noise that serves either kind of input
    shape, seeds = (batch, 3, *preprocessing.image_size), -(-ROWS // batch)
    magnitudes = {spec.name: 0.0 for spec in runner.outputs}
    sums: dict[str, NDArray[Any]] = {}
    for seed in range(seeds):
        for name, values in infer_feed(runner, noise_feed(shape, pixels, seed)).items():
            rows = values.astype(np.float64).reshape(batch, -1)
            magnitudes[name] += float(np.abs(rows).max(axis=1).sum()) / (seeds * batch)
            sums[name] = sums.get(name, 0.0) + rows.sum(axis=0) / (seeds * batch)
    return {name: (magnitudes[name], _part(mean)) for name, mean in sums.items()}


def _part(row: NDArray[Any]) -> NDArray[Any]:
    """Numbers at fixed places, evenly over the row."""
    return row[np.unique(np.linspace(0, row.size - 1, min(_KEPT, row.size)).astype(np.int64))]


def _farthest(got: Mapping[str, tuple[float, NDArray[Any]]], kept: Mapping[str, Any]) -> tuple[str, float]:
    """The output that is farthest off, and how far."""
    off = {
        name: compare_maps(
            "noise",
            name,
            got[name][1],
            np.asarray(own["values"], np.float64),
            TOLERANCES["int8"],
            float(own["magnitude"]),
        ).max_rel
        for name, own in kept.items()
    }
    return max(off.items(), key=lambda one: one[1])
