"""AdaRound: each weight up or down so that the layer's output on the calibration set is closest (arXiv 2004.10568).

With ``s`` the scale of a weight ``w``, the layer takes ``s (floor(w / s) + h(v))`` with ``h(v)`` from 0 to 1, and ``v``
is what makes

    |error of the output|^2 / |that of rounding to nearest|^2 + strength mean(1 - |2 h(v) - 1|^beta)

small, where ``beta`` falls and drives every ``h`` to 0 or 1. The output is that of the inputs in int8, held against the
one in float32; with second moments that is a quadratic form, exact over all places that were looked at, and nothing is
drawn while it is solved. An output channel keeps its nearest integers where these are the better ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.int8.decision import HIGHEST, Decision, Int8Layer
from neonext_ascend.precision.int8.candidates import Candidate, Graph
from neonext_ascend.precision.int8.moments import Moments, in_rows, moments, refusal

STEPS = 400
_RATE, _STRENGTH, _FREE = 0.05, 10.0, 0.2  # of Adam; of the second term; of the steps, without it
_STEEPEST, _FLATTEST = 20.0, 2.0  # beta, from the first step with that term to the last
_BELOW, _ABOVE = -0.1, 1.1  # between which the sigmoid of h is stretched
_TRIED = 3  # steps by which the time is told
_SMALL = 2**26  # multiplications of a step, below which threads wait for each other longer than they work


@dataclass(frozen=True)
class Rounded:
    """What came of it.

    Attributes:
        weights: by the layer's name, int8 in the shape of the constant.
        errors: the squared error of the layer's output over that of rounding to nearest, by its name.
        nearest: why others are rounded to nearest, by their names.
    """

    weights: dict[str, NDArray[np.int8]]
    errors: dict[str, float]
    nearest: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Without the weights."""
        return {"method": "adaround", "steps": STEPS, "errors": self.errors, "nearest": self.nearest}


def adaround(
    graph: Graph,
    decision: Decision,
    inputs: Iterable[NDArray[np.float32]],
    seed: int = 0,
    on_line: Callable[[str], None] = lambda _: None,
    on_time: Callable[[float], None] = lambda _: None,
) -> Rounded:
    """Round the weights of a decision's layers.

    Args:
        graph: of the decision.
        decision: its weights rounded to nearest.
        inputs: of the calibration, one after the other.
        seed: by which places of maps are drawn.
        on_line: told of each layer.
        on_time: told about how many seconds it takes, before it is begun.

    Raises:
        UsageError: it applies to no layer.
    """
    layers = {layer.name: layer for layer in decision.layers}
    nodes = {node.name: node for node in graph.model.graph.node}
    found = [one for one in graph.products() if isinstance(one, Candidate) and one.name in layers]
    nearest = {one.name: reason for one in found if (reason := refusal(one, nodes[one.name]))}
    chosen = [(one, layers[one.name]) for one in found if one.name not in nearest]
    if not chosen:
        reasons = "; ".join(sorted(set(nearest.values()))) or "none is in int8"
        raise UsageError(f"--rounding adaround: applies to no layer of this graph: {reasons}; leave it out")
    seen = moments(graph.model, chosen, inputs, seed)
    problems = [_Problem(one, layer, seen[one.name]) for one, layer in chosen]
    on_time(_seconds(problems))
    weights, errors = dict[str, NDArray[np.int8]](), dict[str, float]()
    for number, problem in enumerate(problems, 1):
        on_line(f"{number}/{len(problems)} {problem.name}")
        weights[problem.name], errors[problem.name] = problem.solved()
    return Rounded(weights, errors, nearest)


class _Problem:
    """One layer, its weight as ``(groups, outputs, terms)`` in steps of its scale."""

    def __init__(self, one: Candidate, layer: Int8Layer, seen: Moments) -> None:
        self.name, self._one = one.name, one
        self._form = seen.form(centred=layer.bias is not None)  # a bias is corrected
        self._wanted, self.nearest = seen.weight, in_rows(one, layer.weight)
        self._floor = torch.floor(self._wanted)

    @property
    def work(self) -> float:
        """Multiplications of a step."""
        return float(self._wanted.numel() * self._wanted.shape[2])

    def error(self, integers: torch.Tensor) -> torch.Tensor:
        """Squared, of each output channel, in steps of its scale: ``(groups, outputs)``."""
        d = integers - self._wanted
        return ((d @ self._form.g + 2 * self._form.b) * d).sum(2).add(self._form.c).clamp_min(0)

    def solved(self) -> tuple[NDArray[np.int8], float]:
        """The integers, and their error over that of the nearest."""
        before, found = self.error(self.nearest), self.stepped(STEPS)
        after = self.error(found)
        better = (after < before).unsqueeze(2)
        integers = torch.where(better, found, self.nearest).to(torch.int8)
        share = float(torch.minimum(after, before).sum() / before.sum().clamp_min(torch.finfo().tiny))
        rows = integers.reshape(-1, integers.shape[2]).numpy()
        shape = self._one.weight.shape
        return np.ascontiguousarray(rows.T if self._one.outputs == 1 else rows.reshape(shape)), share

    def stepped(self, steps: int) -> torch.Tensor:
        """What gradient descent finds in so many steps."""
        fraction = (self._wanted - self._floor).clamp(0.01, 0.99)
        soft = torch.logit((fraction - _BELOW) / (_ABOVE - _BELOW)).requires_grad_()
        before = self.error(self.nearest)
        weight = (1 / (before.numel() * before.clamp_min(torch.finfo().tiny))).unsqueeze(2)
        adam = torch.optim.Adam([soft], lr=_RATE)
        with _threads(1 if self.work < _SMALL else torch.get_num_threads()):
            for step in range(steps):
                adam.zero_grad()
                share = _up(soft)
                difference = (self._floor + share).clamp(-HIGHEST, HIGHEST) - self._wanted
                slope = 2 * weight * (difference.detach() @ self._form.g + self._form.b)  # of the form above
                loss = (slope * difference).sum()
                if step >= _FREE * steps:
                    beta = _STEEPEST + (_FLATTEST - _STEEPEST) * (step / steps - _FREE) / (1 - _FREE)
                    loss = loss + _STRENGTH * (1 - (2 * share - 1).abs().pow(beta)).mean()
                torch.autograd.backward(loss)
                adam.step()
        with torch.no_grad():
            return (self._floor + (_up(soft) >= 0.5)).clamp(-HIGHEST, HIGHEST)


def _up(soft: torch.Tensor) -> torch.Tensor:
    """How much of a step each weight goes up."""
    return (torch.sigmoid(soft) * (_ABOVE - _BELOW) + _BELOW).clamp(0, 1)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(problems: list[_Problem]) -> float:
    """About how long all take, by a few steps of each."""
    problems[0].stepped(1)  # the very first takes as long as many
    started = time.monotonic()
    for problem in problems:
        problem.stepped(_TRIED)
    return (time.monotonic() - started) * STEPS / _TRIED
