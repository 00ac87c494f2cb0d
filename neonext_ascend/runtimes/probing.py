"""What the end of a graph does to the classes, seen by giving it chosen values in place of the last layers' outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.runtimes.graph_end import End, Shape
from neonext_ascend.runtimes.ort import session_of

Rows = NDArray[np.float64]

_BASES = 4
_GROWTH = (1.0, 3.0, 4.0, 8.0, 16.0)  # of the bases: two mild ones, and three that double
_FAR = 1e4  # beyond any logit, and a number of fp16
_MOST = 2**16  # elements of an input whose values matter; of a larger one its shape may
# Curves that end straight, such as GELU, are bent below 2 or so, of 16 times 1; a root is off by 0.4, a square by 0.5.
_BENT = 0.15
_ROUNDING = 2.0**-9  # a few roundings in fp16
_STILL = 1e-5  # many in fp32


@dataclass(frozen=True, slots=True)
class Curve:
    """How the answers ``rows`` ``(probes, classes)`` follow what was given.

    Attributes:
        rows: of what lies near, without those that hold NaN or plus infinity.
        low, high: bounds of all values, near and far.
        straight: whether differences between classes grow with what is given as those of logits do.
        rises, falls: whether a class's value only does so where this class is given more; else both are false.
        alone: whether it follows its own class and no other.
        sign: 1 or -1 where all values near 0 have it and none is 0; else 0.
        constant: whether nothing given changes it.
    """

    rows: Rows
    low: float
    high: float
    straight: bool
    rises: bool
    falls: bool
    alone: bool
    sign: int
    constant: bool


def probe(end: End, batch: int, classes: int) -> Curve | None:
    """Run the end on the CPU; ``None`` where onnxruntime does not, or where it gives something else than scores."""
    count = len(_designed(1))
    shapes = {name: _lengths(shape, batch, classes) for name, (shape, _) in end.inputs.items()}
    pieces = []
    try:
        session = session_of(end.model)
        for start in range(0, count, batch):
            chosen = np.minimum(np.arange(start, start + batch), count - 1)
            feeds = {name: _given(shapes[name], chosen, classes).astype(d) for name, (_, d) in end.inputs.items()}
            (answer,) = session.run(None, feeds)
            pieces.append(answer.astype(np.float64).reshape(batch, classes)[: count - start])
    except Exception:  # onnxruntime's exceptions share no base class of their own
        return None
    facing = any(_axis(lengths, classes) is not None for lengths in shapes.values())
    return _curve(np.concatenate(pieces), facing)


def _lengths(shape: Shape | None, batch: int, classes: int) -> tuple[int, ...]:
    if shape is None:
        return batch, classes
    return tuple(length or (1 if axis else batch) for axis, length in enumerate(shape))


@lru_cache(maxsize=4)
def _designed(length: int) -> Rows:
    """Rows of noise of growing size, the first of them with one class raised, and some that go far."""
    noise = np.random.default_rng(0).standard_normal((_BASES, length))
    raised = np.zeros((3, length))
    raised[range(3), _chosen(length)] = 1
    far = _FAR * np.concatenate(
        [np.sign(noise), 2 * raised - 1, raised, -raised, np.ones((1, length)), -np.ones((1, length))]
    )
    single = (noise[None] + 5 * raised[:, None]).reshape(-1, length)
    return np.concatenate([*(size * noise for size in _GROWTH), single, far])


def _chosen(length: int) -> list[int]:
    return [0, length // 2, length - 1]


def _axis(lengths: tuple[int, ...], classes: int) -> int | None:
    """Of the classes, where it is sure; the first is the batch's, unless they are nowhere else."""
    behind = [axis for axis in range(1, len(lengths)) if lengths[axis] == classes]
    if len(behind) > 1 and classes > 1:
        return None
    return behind[0] if behind else 0 if lengths[:1] == (classes,) else None


def _given(lengths: tuple[int, ...], chosen: NDArray[np.intp], classes: int) -> Rows:
    """These rows in an input's shape: along its axis of the classes, or whatever fits into it."""
    batch, axis = len(chosen), _axis(lengths, classes)
    if not lengths or math.prod(lengths) > _MOST * batch:
        return np.ones(lengths)
    if axis is None:
        return _designed(math.prod(lengths) // batch)[chosen].reshape(lengths)
    rows = _designed(classes)[chosen]
    around = [1] * len(lengths)
    around[axis] = classes
    other = 0 if axis else 1
    if lengths[other : other + 1] == (batch,):
        around[other] = batch
    else:
        rows = rows[:1]
    return np.broadcast_to((rows if axis else rows.T).reshape(around), lengths)


def _curve(every: Rows, facing: bool) -> Curve | None:
    """``facing``: whether something given has an axis of the classes, so that it is known which is which."""
    classes, start = every.shape[1], 8 * _BASES
    noise, mild, four, eight, sixteen = every[: 5 * _BASES].reshape(5, _BASES, classes)
    whole = every[:start][~(np.isnan(every[:start]) | np.isposinf(every[:start])).any(axis=1)]
    known = every[~np.isnan(every)]
    if not np.isfinite(noise).all() or not len(known):
        return None
    little = _ROUNDING * np.abs(noise).max()
    with np.errstate(invalid="ignore"):  # of two infinities
        raised = np.nan_to_num(every[5 * _BASES : start].reshape(3, _BASES, classes) - noise)
        first, second = _apart(eight - four), _apart(sixteen - eight)
        grows = np.abs(second).max() > _STILL * np.abs(sixteen).max()
        straight = grows and np.abs(second - 2 * first).max() <= _BENT * np.abs(second).max()
        constant = (np.abs(every[:start] - every[0]) <= _STILL * np.abs(noise).max()).all()
    places = range(3), slice(None), _chosen(classes)
    own = raised[places].copy() if facing else np.zeros(1)
    raised[places] = 0
    return Curve(
        rows=whole,
        low=float(known.min()),
        high=float(known.max()),
        straight=bool(straight),
        rises=bool((own > -little).all() and (own > little).any()),
        falls=bool((own < little).all() and (own < -little).any() and np.abs(raised).max() <= np.abs(own).max()),
        alone=bool(facing and (np.abs(raised) <= little).all()),
        sign=int(min(noise.min(), mild.min()) > 0) - int(max(noise.max(), mild.max()) < 0),
        constant=bool(constant),
    )


def _apart(rows: Rows) -> Rows:
    """What softmax goes by; of one class its value."""
    return rows - rows.mean(axis=1, keepdims=True) if rows.shape[1] > 1 else rows
