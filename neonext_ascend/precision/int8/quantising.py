"""A float32 graph and pictures to a decision: balanced, calibrated, rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.precision.int8.adaround import Rounded, adaround
from neonext_ascend.precision.int8.balancing import balance, balances
from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.collecting import collected
from neonext_ascend.precision.int8.deciding import Settings, decided

# Pictures by which channels are balanced; their reaches need no tail.
_BALANCING = 32
Inputs = Iterable[NDArray[np.float32]]


@dataclass(frozen=True)
class Quantised:
    """What was decided.

    Args:
        model: float32, with balanced constants; of it the files are made.
        decision: of each product.
        balanced: values whose channels were balanced, and by which powers of two.
        rounded: what AdaRound made of the weights; ``None`` where they are rounded to nearest.
    """

    model: ModelProto
    decision: Decision
    balanced: dict[str, list[int]]
    rounded: Rounded | None = None


def quantised(
    model: ModelProto,
    inputs: Callable[[], Inputs],
    settings: Settings,
    on_line: Callable[[str], None] = lambda _: None,
    on_time: Callable[[float], None] = lambda _: None,
) -> Quantised:
    """Decide.

    Args:
        model: float32, with one input.
        inputs: begins the calibration's inputs anew.
        settings: how.
        on_line, on_time: of AdaRound, as :func:`~neonext_ascend.precision.int8.adaround.adaround` has them.

    Raises:
        UsageError: no product can be int8.
        ArtifactError: a value is no number on an input, or a node has a body.
    """
    graph, moved = Graph(model), dict[str, list[int]]()
    candidates = _candidates(graph)
    if not candidates:
        kept = {found.reason for found in graph.products() if not isinstance(found, Candidate)}
        raise UsageError(f"no product of this graph can be int8: {'; '.join(sorted(kept)) or 'it has none'}")
    if settings.balance:
        found = balances(graph, collected(graph.model, candidates, _first(inputs())))
        moved = {one.value: one.exponents.tolist() for one in found}
        graph = balance(graph, found)
        candidates = _candidates(graph)
    seen = collected(graph.model, candidates, inputs())
    decision = decided(graph, seen, settings)
    if settings.rounding == "nearest":
        return Quantised(graph.model, decision, moved)
    rounded = adaround(graph, decision, inputs(), on_line=on_line, on_time=on_time)
    return Quantised(graph.model, decided(graph, seen, settings, rounded.weights), moved, rounded)


def _candidates(graph: Graph) -> list[Candidate]:
    return [found for found in graph.products() if isinstance(found, Candidate)]


def _first(inputs: Inputs) -> Iterator[NDArray[np.float32]]:
    rows = 0
    for array in islice(inputs, _BALANCING):
        if rows >= _BALANCING:
            return
        rows += len(array)
        yield array
