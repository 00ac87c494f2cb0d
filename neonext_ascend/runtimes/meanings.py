"""What values are taken for: readings of rows and of curves, and the scores that each makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError

if TYPE_CHECKING:
    from neonext_ascend.runtimes.probing import Curve

Rows = NDArray[np.float64]

# A softmax in fp16, as on an NPU, rounds its powers, their sum and the quotients by 2^-11 each: its rows sum to 1
# within 1.5e-3. Four rows of logits that are positive and this near to 1 in sum do not come by chance.
_ROUNDING = 2.0**-9
# The logarithm of one of thousands of probabilities has, in fp16, a step of 2^-7.
_LOG_ROUNDING = 2.0**-7
_LOGARITHMS = ((1.0, "logarithms"), (math.log(2), "binary logarithms"), (math.log(10), "decimal logarithms"))
# Whose name says more than what their values do.
_CURVES = frozenset({"HardSigmoid", "LogSoftmax", "Sigmoid", "Softmax"})
_FAR = 1000.0  # a bound beyond this is none


@dataclass(frozen=True, slots=True)
class Answers:
    """How the rows ``(N, classes)`` of an output become scores, and in words what they were taken for.

    Attributes:
        way: what makes scores of ``scale * values + shift``.
        probabilities: whether scores are shares of 1, of all classes or of each by itself.
    """

    way: Literal["softmax", "sigmoid", "exp", "as they are"]
    words: str
    scale: float = 1.0
    shift: float = 0.0
    probabilities: bool = True

    def scores(self, values: NDArray[np.generic], name: str) -> Rows:
        """Scores ``(N, classes)``, the higher the likelier.

        Raises:
            ArtifactError: ``name``, the network, gave NaN or infinity.
        """
        wide = self.scale * values.astype(np.float64) + self.shift
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


def by_sums(rows: Rows, last: str = "", high: float | None = None) -> Answers | None:
    """From what holds of every row, and does not come by chance.

    Args:
        rows: values.
        last: the last operator, where it is known.
        high: the largest value that there can be, where it is known.
    """
    classes = rows.shape[1]
    sums = rows.sum(axis=1)
    if not len(rows):
        return None
    # A sharp softmax is one all the same.
    if np.isin(rows, (0, 1)).all() and np.ptp(rows) > 0 and last not in _CURVES:
        what = (
            "1 for one class and 0 for every other" if _all_near(sums, 1) and classes > 1 else "1 or 0 for each class"
        )
        words = f"{what} as its output: among equal ones the order means nothing"
        return Answers("as they are", words, probabilities=False)
    if (rows >= 0).all() and _all_near(sums, 1):
        return _probabilities(classes, "probabilities", _why(last, "its rows sum to 1"))
    for base, name in _LOGARITHMS:
        for sign, what in ((1, name), (-1, f"negative {name}")):
            logarithms = sign * base * rows
            if (logarithms <= _ROUNDING).all() and _all_near(np.exp(logarithms).sum(axis=1), 1, _LOG_ROUNDING):
                why = _why(last, "their exponentials sum to 1")
                return _probabilities(classes, f"{what} of probabilities", why, "exp", sign * base)
    if (rows <= 1 + _ROUNDING).all() and _all_near(classes - sums, 1):
        return _probabilities(classes, "1 minus probabilities", "(what is missing to 1 sums to 1)", scale=-1, shift=1)
    total = float(sums[0])
    reached = abs(total - 100) < 100 * _ROUNDING if high is None else high > (1 - _ROUNDING) * total
    if classes > 1 and (rows >= 0).all() and total > 0 and _all_near(sums / total, 1) and reached and np.ptp(rows) > 0:
        return _probabilities(
            classes, f"probabilities times {total:.4g}", f"(its rows sum to {total:.4g})", scale=1 / total
        )
    return None


def by_values(rows: Rows) -> Answers:
    """From what holds of every row, and may come by chance: scores that are not sure to be logits are none."""
    one = rows.shape[1] == 1
    low, high = (rows.min(), rows.max()) if len(rows) else (-math.inf, math.inf)
    if low >= 0 and high <= 1 + _ROUNDING:
        return _separate(one, "(all its values are between 0 and 1)")
    if not one and (low >= 0 or high <= 0 or max(-low, high) <= 1 + _ROUNDING):
        return _as_they_are(low, high, "on noise")
    return ONE_LOGIT if one else LOGITS


def by_curve(curve: Curve, last: str, followed: bool) -> Answers | None:
    """From what the end of a graph does to whatever it is given.

    Args:
        curve: that.
        last: its last operator.
        followed: whether that what stands before it is known; else ``None`` where the end changes no meaning.
    """
    one = curve.rows.shape[1] == 1
    if curve.alone and (one or curve.rises):
        for most in (1.0, 100.0):
            if max(abs(curve.low), abs(curve.high - most)) <= _ROUNDING * most:
                return _separate(one, _why(last, f"all its values are between 0 and {most:g}"), most)
        if curve.sign < 0 and abs(curve.high) <= _ROUNDING and curve.low < -_FAR:
            return Answers("exp", f"logarithms of a score for each class by itself as its output (it ends in {last})")
    if curve.straight and curve.sign <= 0 and (curve.rises or not curve.alone):
        return None if not followed else ONE_LOGIT if one else LOGITS
    return _as_they_are(curve.low, curve.high, f"(it ends in {last})")


def _probabilities(
    classes: int,
    what: str,
    why: str,
    way: Literal["exp", "as they are"] = "as they are",
    scale: float = 1.0,
    shift: float = 0.0,
) -> Answers:
    if classes == 1:
        what, why = "a probability that is always 1 for its one class", f"{why}: the scores mean nothing"
        return Answers(way, f"{what} {why}", scale, shift)
    return Answers(way, f"{what} as its output {why}", scale, shift)


def _why(last: str, seen: str) -> str:
    return f"(it ends in {last})" if last in _CURVES else f"({seen})"


def _separate(one: bool, why: str, most: float = 1.0) -> Answers:
    times = "" if most == 1 else f", times {most:g},"
    what = "the probability of its one class" if one else "a score for each class by itself"
    return Answers("as they are", f"{what}{times} as its output {why}", 1 / most)


def _as_they_are(low: float, high: float, why: str) -> Answers:
    bounds = f"between {low:.4g} and {high:.4g}" if max(-low, high) < _FAR else "neither logits nor probabilities"
    words = f"scores as they are: the values are {bounds} {why}; the higher the likelier, but no share of 1"
    return Answers("as they are", words, probabilities=False)


def _all_near(sums: Rows, expected: float, within: float = _ROUNDING) -> bool:
    return bool((np.abs(sums - expected) <= within).all())


def softmax(logits: NDArray[np.generic]) -> Rows:
    """Probabilities of each row ``(N, classes)``."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    probabilities: Rows = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
