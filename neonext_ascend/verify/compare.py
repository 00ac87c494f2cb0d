"""How far two outputs are apart, logits or maps, and whether that is too far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError, counted
from neonext_ascend.spec import OUTPUT, Tolerance

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate against reference.

    Args:
        what: the inputs that were fed.
        images: number of rows compared.
        max_abs: largest absolute difference.
        max_rel: ``max|difference| / max|reference|``.
        cosine: between the flattened arrays.
        top1, top5: share of rows with the same first class, and the same five in any order; ``None`` of maps.
        needed: the smallest multiple of the tolerance's bounds that passes (at most 1 means it passed); infinite where
            none does: a number that is none, cosine, the first class.
        failures: what is out of bounds, in words; empty means passed.
        output: that was compared.
    """

    what: str
    images: int
    max_abs: float
    max_rel: float
    cosine: float
    top1: float | None
    top5: float | None
    needed: float
    failures: tuple[str, ...]
    output: str = OUTPUT

    @property
    def passed(self) -> bool:
        """Whether every bound holds."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """The figures by name; a figure that is not finite is ``null``."""
        figures = {
            name: (value if value is not None and np.isfinite(value) else None)
            for name, value in (
                ("max_abs", self.max_abs),
                ("max_rel", self.max_rel),
                ("cosine", self.cosine),
                ("top1", self.top1),
                ("top5", self.top5),
                ("needed", self.needed),
            )
        }
        return {
            "what": self.what,
            "images": self.images,
            **figures,
            "passed": self.passed,
            "failures": list(self.failures),
        }


def compare_outputs(what: str, output: str, candidate: Array, reference: Array, tolerance: Tolerance) -> Comparison:
    """Compare an output by its name: logits ``(N, classes)``, or else maps.

    Raises:
        ArtifactError: the shapes differ.
    """
    if reference.ndim == 2:
        return replace(compare_logits(what, candidate, reference, tolerance), output=output)
    return compare_maps(what, output, candidate, reference, tolerance)


def compare_maps(
    what: str, output: str, candidate: Array, reference: Array, tolerance: Tolerance, largest: float | None = None
) -> Comparison:
    """Compare maps ``(N, ...)``, which have no classes; of a sample, ``largest`` is the whole reference's largest.

    Raises:
        ArtifactError: the shapes differ.
    """
    return _compared(f"{output} of {what}", candidate, reference, tolerance.of_maps(), largest, output)


def compare_logits(what: str, candidate: Array, reference: Array, tolerance: Tolerance) -> Comparison:
    """Compare logits ``(N, classes)``.

    Raises:
        ArtifactError: the shapes differ.
    """
    compared = _compared(what, candidate, reference, tolerance)
    got, want = candidate.astype(np.float64), reference.astype(np.float64)
    same_first = np.argmax(got, axis=-1) == np.argmax(want, axis=-1)
    same_five = [set(a) == set(b) for a, b in zip(_top5(got), _top5(want), strict=True)]
    compared = replace(compared, top1=float(same_first.mean()), top5=float(np.mean(same_five)))
    if not np.isfinite(compared.max_abs) or _top1_excused(same_first, want, np.abs(got - want), tolerance):
        return compared
    changed = f"the first class changes on {int((~same_first).sum())} of {counted(len(same_first), 'image')}"
    return replace(compared, needed=float("inf"), failures=(*compared.failures, changed))


def _compared(
    what: str,
    candidate: Array,
    reference: Array,
    tolerance: Tolerance,
    largest: float | None = None,
    output: str = OUTPUT,
) -> Comparison:
    """Number by number, without classes."""
    if candidate.shape != reference.shape:
        raise ArtifactError(f"{what}: got shape {candidate.shape}, the reference has {reference.shape}")
    got, want = candidate.astype(np.float64), reference.astype(np.float64)
    finite = bool(np.isfinite(got).all() and np.isfinite(want).all())
    difference = np.abs(got - want) if finite else np.full(want.shape, np.inf)
    scale = float(np.abs(want).max(initial=0.0)) if largest is None else largest
    max_abs = float(difference.max(initial=0.0)) if finite else float("inf")
    max_rel = _ratio(max_abs, scale)
    cosine = _cosine(got, want) if finite else float("nan")
    needed, failures = 0.0, []
    if not finite:
        needed, failures = float("inf"), [_not_finite(got, want)]
    if tolerance.atol is not None and tolerance.rtol is not None and finite:
        allowed = tolerance.atol + tolerance.rtol * np.abs(want)
        # Where nothing is allowed, any difference is infinitely too large; none is still fine.
        ratios = np.divide(difference, allowed, out=np.where(difference > 0, np.inf, 0.0), where=allowed > 0)
        ratio = float(ratios.max(initial=0.0))
        needed = max(needed, ratio)
        if ratio > 1:
            failures.append(
                f"differs by {max_abs:.3g}; atol {tolerance.atol:g} and rtol {tolerance.rtol:g} allow less "
                f"({ratio:.3g} times both would pass)"
            )
    if tolerance.max_relative is not None and finite:
        needed = max(needed, max_rel / tolerance.max_relative)
        if max_rel > tolerance.max_relative:
            failures.append(f"relative difference {max_rel:.3g} is above {tolerance.max_relative:g}")
    if tolerance.min_cosine is not None and finite and cosine < tolerance.min_cosine:
        failures.append(f"cosine {cosine:.6f} is below {tolerance.min_cosine:g}")
        needed = float("inf")  # no bound of the difference mends it, nor the class below
    return Comparison(what, len(want), max_abs, max_rel, cosine, None, None, needed, tuple(failures), output)


def relative_error(candidate: Array, reference: Array) -> tuple[float, float]:
    """``max|difference| / max|reference|`` and ``max|difference|``.

    The same infinity or NaN at the same place is no difference; on one side alone it is an infinite one.
    """
    if candidate.shape != reference.shape:
        raise ArtifactError(f"got shape {candidate.shape}, the reference has {reference.shape}")
    got, want = candidate.astype(np.float64), reference.astype(np.float64)
    numbers = np.isfinite(got) & np.isfinite(want)
    if not (numbers | (got == want) | (np.isnan(got) & np.isnan(want))).all():
        return float("inf"), float("inf")
    got, want = (got, want) if numbers.all() else (got[numbers], want[numbers])
    largest = float(np.abs(got - want).max(initial=0.0))
    return _ratio(largest, float(np.abs(want).max(initial=0.0))), largest


def _not_finite(got: NDArray[np.float64], want: NDArray[np.float64]) -> str:
    """Whose it is: no logits of this kind pass, but the network itself may give them."""
    ours, theirs = (int((~np.isfinite(side)).sum()) for side in (got, want))
    if not theirs:
        return f"NaN or infinity in the output: {counted(ours, 'number')} of {got.size:,}"
    if not ours:
        return f"NaN or infinity in the reference alone: {counted(theirs, 'number')} of {want.size:,}"
    return f"NaN or infinity in the output and in the reference ({theirs:,} of {want.size:,}): fp32 itself gives them"


def summarize(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The worst of each figure, and the mean agreement."""
    images, classes = sum(c.images for c in comparisons), sum(c.images for c in comparisons if c.top1 is not None)
    return {
        "images": images,
        "max_abs": max(c.max_abs for c in comparisons),
        "max_rel": max(c.max_rel for c in comparisons),
        "cosine": float(np.min([c.cosine for c in comparisons])),  # NaN wherever it stands, unlike min()
        "top1": sum((c.top1 or 0.0) * c.images for c in comparisons) / classes if classes else None,
        "top5": sum((c.top5 or 0.0) * c.images for c in comparisons) / classes if classes else None,
        "needed": max(c.needed for c in comparisons),
    }


def smallest_passing(comparisons: Sequence[Comparison], tolerance: Tolerance) -> dict[str, float] | None:
    """The smallest tolerance that would have passed: every bound times the same factor; ``None`` where none would."""
    needed = max(c.needed for c in comparisons)
    if not np.isfinite(needed):
        return None
    if tolerance.atol is not None and tolerance.rtol is not None and comparisons[0].top1 is not None:
        return {"atol": needed * tolerance.atol, "rtol": needed * tolerance.rtol}
    return {"max_relative": max(c.max_rel for c in comparisons)}


def _ratio(difference: float, scale: float) -> float:
    if difference == 0.0:
        return 0.0
    return difference / scale if scale else float("inf")


def _cosine(a: Array, b: Array) -> float:
    flat_a, flat_b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    norms = float(np.linalg.norm(flat_a) * np.linalg.norm(flat_b))
    if norms == 0.0:
        return 1.0 if not flat_a.any() and not flat_b.any() else 0.0
    return float(flat_a @ flat_b / norms)


def _top5(logits: NDArray[np.float64]) -> list[list[int]]:
    best: list[list[int]] = np.argsort(-logits, axis=-1, kind="stable")[:, :5].tolist()
    return best


def _top1_excused(
    same: NDArray[np.bool_], want: NDArray[np.float64], difference: NDArray[np.float64], tolerance: Tolerance
) -> bool:
    if want.shape[-1] < 2 or bool(same.all()):
        return bool(same.all())
    if tolerance.top1 == "exact":
        return False
    ordered = np.sort(want, axis=-1)
    margin = ordered[:, -1] - ordered[:, -2]
    # Both classes may move towards each other by the largest difference.
    return bool((same | (margin <= 2 * difference.max(axis=-1))).all())
