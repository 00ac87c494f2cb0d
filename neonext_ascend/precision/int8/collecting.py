"""What the values of a graph are on pictures: histograms, and each channel's reach and mean, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neonext_ascend.errors import ArtifactError
from neonext_ascend.precision.int8.candidates import Candidate
from neonext_ascend.precision.int8.histogram import Histogram
from neonext_ascend.runtimes.ort import session_of


@dataclass
class Seen:
    """One value.

    Attributes:
        histogram: of its magnitudes.
        reach: of each channel, its largest magnitude.
        sums, count: of each channel, for its mean.
    """

    histogram: Histogram = field(default_factory=Histogram)
    reach: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    count: int = 0

    @property
    def means(self) -> NDArray[np.float64]:
        """Of each channel."""
        return self.sums / max(self.count, 1)

    def add(self, value: NDArray[np.float32], channel: int) -> None:
        """Count a value whose channels lie on this axis."""
        rows = np.moveaxis(value, channel, 0).reshape(value.shape[channel], -1)
        if not self.reach.size:
            self.reach, self.sums = np.zeros(len(rows), np.float32), np.zeros(len(rows))
        low, high = rows.min(1, initial=0.0), rows.max(1, initial=0.0)
        self.reach = np.maximum(self.reach, np.maximum(-low, high))
        self.sums += rows.sum(1, dtype=np.float64)
        self.count += rows.shape[1]
        self.histogram.add(value)


def collected(
    model: ModelProto, candidates: Sequence[Candidate], inputs: Iterable[NDArray[np.float32]]
) -> Mapping[str, Seen]:
    """Every value that a candidate reads, on these inputs.

    Args:
        model: float32, with one input.
        candidates: of it.
        inputs: of its shape, one after the other.

    Raises:
        ArtifactError: a value is no number on one of them.
    """
    channels = {one.value: one.channel for one in candidates}
    seen = {name: Seen() for name in channels}
    with ThreadPoolExecutor() as pool:
        for values in values_of(model, channels, inputs):
            # numpy lets go of the interpreter in its loops, which take as long as the network.
            list(pool.map(lambda one: seen[one[0]].add(one[1], channels[one[0]]), values.items()))
    for name, one in seen.items():
        if not np.isfinite(one.histogram.largest):
            raise ArtifactError(
                f"{name}: holds what is no number on the calibration pictures: what is fed or computed is too large"
            )
    return seen


def values_of(
    model: ModelProto, wanted: Iterable[str], inputs: Iterable[NDArray[np.float32]]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """These values on each of the inputs, the input among them where it is wanted."""
    (taken,) = (value.name for value in model.graph.input if value.name not in _constants(model))
    chosen = list(wanted)
    names = [name for name in chosen if name != taken]
    session = session_of(_giving(model, names))
    for array in inputs:
        values = dict(zip(names, session.run(names, {taken: array}) if names else (), strict=True))
        yield values | ({taken: array} if taken in chosen else {})


def _constants(model: ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def _giving(model: ModelProto, names: Sequence[str]) -> bytes:
    copy = ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in copy.graph.output}
    for name in names:
        if name not in given:
            copy.graph.output.add(name=name)
    serialized: bytes = copy.SerializeToString()
    return serialized
