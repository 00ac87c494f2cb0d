"""What each layer costs if it alone is int8, and how far two graphs agree on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neonext_ascend.errors import ArtifactError, ParityError
from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.runtimes.ort import session_of

Outputs = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two graphs' answers on the same pictures.

    Args:
        pictures: how many.
        cosine, least: between the two rows of an output, in the mean and at least; of the output that has least.
        top1: share of pictures on which the first class is the same; ``None`` where no output is ``(N, K)``.
    """

    pictures: int
    cosine: float
    least: float
    top1: float | None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def agreement(got: Outputs, want: Outputs) -> Agreement:
    """Of all outputs; 0 is like 0.

    Raises:
        ArtifactError, ParityError: an output of ``want``, or of ``got``, holds what is no number.
    """
    cosines, same = list[NDArray[np.float64]](), list[float]()
    for name, right in want.items():
        one = got[name]
        if not np.isfinite(right).all():
            raise ArtifactError(f"{name}: holds what is no number on the calibration pictures, in float32")
        if not np.isfinite(one).all():
            raise ParityError(f"{name}: holds what is no number on the calibration pictures, in int8 alone")
        rows, others = (array.reshape(len(array), -1) for array in (one, right))
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
        like = np.sum(rows * others, axis=1) / np.where(norms > 0, norms, 1.0)
        cosines.append(np.where((rows == others).all(1), 1.0, like))
        if right.ndim == 2:
            same.append(float(np.mean(rows.argmax(1) == others.argmax(1))))
    means, least = (min(float(found(rows)) for rows in cosines) for found in (np.mean, np.min))
    return Agreement(max(map(len, cosines)), means, least, min(same, default=None))


def answers(model: ModelProto, inputs: Iterable[NDArray[np.float32]]) -> Outputs:
    """Every output, by name, a row for each picture; in ONNX Runtime."""
    session = session_of(model.SerializeToString())
    taken, names = session.get_inputs()[0].name, [one.name for one in session.get_outputs()]
    return joined((dict(zip(names, session.run(names, {taken: array}), strict=True)), len(array)) for array in inputs)


def joined(batches: Iterable[tuple[Mapping[str, NDArray[Any]], int]]) -> Outputs:
    """Batches' outputs behind each other, each with how many rows went in; what has none of these is one row."""
    found: dict[str, list[NDArray[Any]]] = {}
    for outputs, rows in batches:
        for name, value in outputs.items():
            found.setdefault(name, []).append(value if value.shape[:1] == (rows,) else value[None])
    return {name: np.concatenate(values).astype(np.float64) for name, values in found.items()}


def sensitivities(
    model: ModelProto,
    decision: Decision,
    inputs: Callable[[], Iterable[NDArray[np.float32]]],
    on_line: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """For each layer, cheapest first, the outputs' squared error if it alone is int8, over their squares; the largest.

    Args:
        model: float32, balanced as the decision's.
        decision: of it.
        inputs: begins the pictures anew.
        on_line: told of each layer.
    """
    want, found = answers(model, inputs()), dict[str, float]()
    for number, layer in enumerate(decision.layers, 1):
        on_line(f"{number}/{len(decision.layers)} {layer.name}")
        got = answers(qdq_model(model, decision.only({layer.name})), inputs())
        found[layer.name] = max(
            float(np.sum((got[name] - right) ** 2)) / (float(np.sum(right**2)) or 1.0) for name, right in want.items()
        )
    return dict(sorted(found.items(), key=lambda one: one[1]))


def fewest(ranked: list[str], passes: Callable[[list[str]], bool]) -> list[str] | None:
    """The shortest beginning of a list with which it passes, by bisection; ``None`` where all of it does not.

    Args:
        ranked: names, the dearest first.
        passes: whether it does with these kept; taken to pass with more if it passes with fewer.
    """
    if not passes(ranked):
        return None
    low, high = 0, len(ranked)  # fails with low, passes with high
    while high - low > 1:
        middle = (low + high) // 2
        if passes(ranked[:middle]):
            high = middle
        else:
            low = middle
    return ranked[:high]
