"""What a request says, and an answer, in a model's own terms."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.runtimes.classifying import Guess
from neonext_ascend.serving.models import Served
from neonext_ascend.serving.protocol.tensors import BYTES, Tensor, datatype_of
from neonext_ascend.serving.refusals import RefusedError

PICTURE, TOP = "picture", 5


def rows_of(tensor: Tensor, model: Served) -> NDArray[np.generic]:
    """A request's rows, in the artifact's dtype and shape.

    Raises:
        RefusedError: 400, they are of another, or no finite numbers.
    """
    spec = model.input
    inner, datatype = [int(n) for n in spec.shape[1:]], datatype_of(spec.dtype)
    fits = tensor.name == spec.name and tensor.datatype == datatype and list(tensor.shape[1:]) == inner
    if not fits or not tensor.shape or tensor.shape[0] < 1:
        given = f"{tensor.name} {tensor.datatype}{list(tensor.shape)}"[:120]
        raise RefusedError(400, f"{given}; expected {model.takes}")
    assert isinstance(tensor.data, np.ndarray)
    if not np.isfinite(tensor.data).all():
        raise RefusedError(400, f"{tensor.name}: holds NaN or infinity; expected numbers")
    return tensor.data


def pictures_of(tensor: Tensor) -> list[bytes]:
    """A request's pictures, at least one.

    Raises:
        RefusedError: 400, it holds none.
    """
    if tensor.name != PICTURE or tensor.datatype != BYTES or not tensor.data:
        raise RefusedError(400, f"{tensor.name} {tensor.datatype}{list(tensor.shape)}; expected {PICTURE} {BYTES}[N]")
    return [bytes(item) for item in tensor.data]


def seconds_of(timeout: object) -> float | None:
    """Of the parameter of Triton's extension *schedule policy*: whole microseconds, 0 for none.

    Raises:
        RefusedError: 400, it is no such number.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise RefusedError(400, f"timeout {str(timeout)[:40]!r}; expected whole microseconds, as an integer")
    return min(timeout, 10**15) / 1e6 or None


def top_of(given: object) -> int:
    """How many classes are asked for.

    Raises:
        RefusedError: 400, it is no number, or too large.
    """
    if given is None:
        return TOP
    if not re.fullmatch("[1-9][0-9]{0,2}|1000", str(given)):
        raise RefusedError(400, f"top {str(given)[:40]}; expected a whole number from 1 to 1000")
    return int(str(given))


def guesses(tops: Sequence[Sequence[Guess]]) -> list[Tensor]:
    """Classes, best first, as three tensors ``(N, top)``."""
    shape = (len(tops), len(tops[0]))
    labels = [guess.label.encode() for top in tops for guess in top]
    return [
        Tensor.of("index", np.asarray([[guess.index for guess in top] for top in tops], np.int64)),
        Tensor("label", BYTES, shape, labels),
        Tensor.of("score", np.asarray([[guess.score for guess in top] for top in tops], np.float32)),
    ]
