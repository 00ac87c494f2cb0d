"""What the output of an artifact means: logits, or what a stranger's file has made of them already.

Our own files give logits. Of another file the last nodes are read, without its weights; where they do not tell, or
where there is no graph to read (an OM), the values tell: it is run on noise once or a few times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.last_nodes import LastNodes, read_last_nodes

_PROBES = 4
# A softmax in fp16, as on an NPU, rounds its powers, their sum and the quotients by 2^-11 each: its rows sum to 1
# within 1.5e-3. Four rows of logits that are positive and this near to 1 in sum do not come by chance.
_ROUNDING = 2.0**-9
# The logarithm of one of thousands of probabilities has, in fp16, a step of 2^-7.
_LOG_ROUNDING = 2.0**-7
# A softmax in 8 bits rounds each of its many small values by half a step; along another axis it is off by far more.
_COARSE = 0.5
# Between 0 and 1 from the first to the last value only where one of these made it so.
_SQUASHING = frozenset({"Clip", "Erf", "Exp", "HardSigmoid", "Sigmoid", "Softmax", "Tanh"})
_LOGARITHMS = frozenset({"Log", "LogSoftmax", "Softplus"})
_RANKING = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "TopK"})


@dataclass(frozen=True, slots=True)
class Answers:
    """How the rows ``(N, classes)`` of an output become scores, and in words what they were taken for."""

    way: Literal["softmax", "sigmoid", "exp", "as they are"]
    words: str

    def scores(self, values: NDArray[np.generic], name: str) -> NDArray[np.float64]:
        """Scores ``(N, classes)``, the higher the likelier.

        Raises:
            ArtifactError: ``name``, the network, gave NaN or infinity.
        """
        wide = values.astype(np.float64)
        if self.way == "exp":
            wide = np.exp(wide)  # the logarithm of a probability that fp16 rounds to 0 is minus infinity
        if not np.isfinite(wide).all():
            raise ArtifactError(f"{name}: gives NaN or infinity; its weights are damaged, or too large for fp16")
        if self.way == "softmax":
            return softmax(wide)
        if self.way == "sigmoid":
            wide = 0.5 * (1 + np.tanh(0.5 * wide))  # does not overflow
        return wide


LOGITS = Answers("softmax", "logits as its output")
ONE_LOGIT = Answers("sigmoid", "the logit of its one class as its output: the score is its sigmoid")


def answers_of(artifact: Path, runner: Runner) -> Answers:
    """What the first output ``(N, classes)`` of a file without a manifest means; the words follow *assuming*.

    Raises:
        ArtifactError: the output holds no score for each class.
    """
    nodes = read_last_nodes(artifact, runner.outputs[0].name)
    if nodes is not None and nodes.decisive in _RANKING:
        raise ArtifactError(
            f"{artifact}: ends in {nodes.decisive}, so it gives no score for each class; export it without that end"
        )
    rows = _rows_on_noise(runner)
    found = _by_nodes(artifact, nodes, rows) if nodes is not None else None
    return found or _by_values(nodes, rows)


def _by_nodes(artifact: Path, nodes: LastNodes, rows: NDArray[np.float64]) -> Answers | None:
    ends = f"(it ends in {nodes.decisive})"
    if nodes.decisive in ("Softmax", "LogSoftmax"):
        logarithms = nodes.decisive == "LogSoftmax"
        sums = (np.exp(rows) if logarithms else rows).sum(axis=1)
        if (np.abs(sums - 1) > _COARSE).any():
            raise ArtifactError(
                f"{artifact}: its {nodes.decisive} does not run over the classes: a row sums to {sums[0]:.4g}, "
                "expected 1; export it again with the axis of the classes"
            )
        return _probabilities(rows, ends, logarithms)
    if nodes.decisive in ("Sigmoid", "HardSigmoid"):
        return _separate(rows, ends)
    return None


def _by_values(nodes: LastNodes | None, rows: NDArray[np.float64]) -> Answers:
    """From what holds of every row; what only might be squashed is, where there is no graph to say otherwise."""
    powers = np.exp(np.minimum(rows, 1.0))
    if (rows >= 0).all() and _sum_to_one(rows):
        return _probabilities(rows, "(its rows sum to 1)")
    if (rows <= _ROUNDING).all() and _sum_to_one(powers, _LOG_ROUNDING):
        return _probabilities(rows, "(their exponentials sum to 1)", logarithms=True)
    if len(rows) and (rows >= 0).all() and (rows <= 1 + _ROUNDING).all() and (nodes is None or nodes.ops & _SQUASHING):
        return _separate(rows, "(all its values are between 0 and 1)")
    if len(rows) and (rows <= _ROUNDING).all() and nodes is not None and nodes.decisive in _LOGARITHMS:
        return Answers(
            "exp", f"logarithms of a score for each class by itself as its output (it ends in {nodes.decisive})"
        )
    return ONE_LOGIT if rows.shape[1] == 1 else LOGITS


def _probabilities(rows: NDArray[np.float64], why: str, logarithms: bool = False) -> Answers:
    if rows.shape[1] == 1:
        words = f"a probability that is always 1 for its one class {why}: the scores mean nothing"
        return Answers("exp" if logarithms else "as they are", words)
    if logarithms:
        return Answers("exp", f"logarithms of probabilities as its output {why}")
    return Answers("as they are", f"probabilities as its output {why}")


def _separate(rows: NDArray[np.float64], why: str) -> Answers:
    if rows.shape[1] == 1:
        return Answers("as they are", f"the probability of its one class as its output {why}")
    return Answers("as they are", f"a score for each class by itself as its output {why}")


def _sum_to_one(rows: NDArray[np.float64], within: float = _ROUNDING) -> bool:
    return len(rows) > 0 and bool((np.abs(rows.sum(axis=1) - 1) <= within).all())


def _rows_on_noise(runner: Runner) -> NDArray[np.float64]:
    """Output rows for noise of growing size; without those that are not finite."""
    (spec,) = runner.inputs
    batch = spec.shape[0] if isinstance(spec.shape[0], int) else min(runner.gears, default=1)
    random = np.random.default_rng(0)
    rows = []
    for number in range(math.ceil(_PROBES / batch)):
        noise = (1 + number) * random.standard_normal((batch, *spec.shape[1:]), np.float32)  # type: ignore[arg-type] # only the batch may be a word
        rows.append(runner.infer({spec.name: noise})[runner.outputs[0].name].astype(np.float64))
    every = np.concatenate(rows)
    return every[~(np.isnan(every) | np.isposinf(every)).any(axis=1)]


def softmax(logits: NDArray[np.generic]) -> NDArray[np.float64]:
    """Probabilities of each row ``(N, classes)``."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
