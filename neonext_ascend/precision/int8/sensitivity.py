"""What each layer costs if it alone is int8, and how far two graphs agree on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.exporters.int8.qdq import qdq_model
from neonext_ascend.runtimes.ort import session_of

Logits = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two graphs' answers on the same pictures.

    Args:
        pictures: how many.
        cosine, least: between the two rows of logits, in the mean and at least.
        top1: share of pictures on which the first class is the same.
    """

    pictures: int
    cosine: float
    least: float
    top1: float

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def agreement(got: Logits, want: Logits) -> Agreement:
    """Of rows of logits; what is no number agrees with nothing."""
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.nan_to_num(np.sum(got * want, axis=1) / norms, nan=0.0)
    same = np.mean(got.argmax(1) == want.argmax(1))
    return Agreement(len(got), float(cosines.mean()), float(cosines.min()), float(same))


def answers(model: ModelProto, inputs: Iterable[NDArray[np.float32]]) -> Logits:
    """The first output of each row, flat; in ONNX Runtime."""
    session = session_of(model.SerializeToString())
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name
    rows = [session.run([given], {taken: array})[0] for array in inputs]
    return np.concatenate([row.reshape(len(row), -1) for row in rows]).astype(np.float64)


def sensitivities(
    model: ModelProto,
    decision: Decision,
    inputs: Callable[[], Iterable[NDArray[np.float32]]],
    on_line: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """For each layer, cheapest first, the error of the logits if it alone is int8, over the logits, both squared.

    Args:
        model: float32, balanced as the decision's.
        decision: of it.
        inputs: begins the pictures anew.
        on_line: told of each layer.
    """
    want, found = answers(model, inputs()), dict[str, float]()
    whole = float(np.sum(want**2)) or 1.0
    for number, layer in enumerate(decision.layers, 1):
        on_line(f"{number}/{len(decision.layers)} {layer.name}")
        got = answers(qdq_model(model, decision.only({layer.name})), inputs())
        found[layer.name] = float(np.sum((got - want) ** 2)) / whole
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
