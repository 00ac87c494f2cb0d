"""Where two networks depart: the first point inside at which they differ by more than rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.spec import Tolerance
from neonext_ascend.verify.compare import Array, relative_error

SAMPLES = 32


@dataclass(frozen=True, slots=True)
class PointError:
    """One comparable point.

    Args:
        name: of the tensor in the artifact.
        relative: ``max|difference| / max|reference|`` there.
        passed: whether rounding explains it.
    """

    name: str
    relative: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "point": self.name,
            "relative": self.relative if np.isfinite(self.relative) else None,
            "passed": self.passed,
        }


def compare_points(
    names: Sequence[str], candidate: Mapping[str, Array], reference: Mapping[str, Array], tolerance: Tolerance
) -> list[PointError]:
    """Compare every point, in the network's order.

    A block's branch is compared before its sum, so that a branch which LayerScale makes tiny is still seen. A reference
    of one axis gives the elements in the order of the candidate's memory, whatever its shape.
    """
    return [_judge(name, *_error(candidate[name], reference[name]), tolerance) for name in names]


def _error(candidate: Array, reference: Array) -> tuple[float, float]:
    return relative_error(candidate.reshape(-1) if reference.ndim == 1 else candidate, reference)


def first_departure(points: Sequence[PointError]) -> str | None:
    """Name of the first point that failed."""
    return next((point.name for point in points if not point.passed), None)


def sample(values: Array) -> dict[str, Any]:
    """A few values at fixed places of a tensor, and its largest: what a manifest keeps of a point."""
    flat = values.reshape(-1)
    return {
        "elements": int(flat.size),
        "max_abs": float(np.abs(flat).max(initial=0.0)),
        "values": [float(v) for v in flat[_places(flat.size)]],
    }


def compare_samples(
    names: Sequence[str],
    candidate: Mapping[str, Array],
    stored: Mapping[str, Mapping[str, Any]],
    tolerance: Tolerance,
) -> list[PointError]:
    """Compare with :func:`sample` values, relative to the whole tensor's largest."""
    points = []
    for name in names:
        want, flat = stored[name], candidate[name].reshape(-1)
        values = np.asarray(want["values"], dtype=np.float64)
        if flat.size != int(want["elements"]) or len(values) != len(_places(flat.size)):
            points.append(PointError(name, float("inf"), False))
            continue
        difference = np.abs(flat[_places(flat.size)].astype(np.float64) - values)
        largest = float(difference.max(initial=0.0)) if np.isfinite(difference).all() else float("inf")
        scale = float(want["max_abs"])
        relative = 0.0 if largest == 0.0 else largest / scale if scale else float("inf")
        points.append(_judge(name, relative, largest, tolerance))
    return points


def _judge(name: str, relative: float, largest: float, tolerance: Tolerance) -> PointError:
    within = relative <= tolerance.point_relative or largest <= tolerance.point_absolute
    return PointError(name, relative, within)


def _places(size: int) -> NDArray[np.int64]:
    return np.random.RandomState(size % 2**32).randint(0, size, min(SAMPLES, size))
