"""What is fed to both sides: seeded noise, and pictures through the artifact's own preprocessing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.environment import physical_memory
from neonext_ascend.errors import UsageError
from neonext_ascend.images import Preprocessing
from neonext_ascend.pictures import read_picture

DYNAMIC_BATCHES = (1, 3)
MAX_PICTURES = 3
# Memory of a forward pass over its input's: the widest activations of NeoNeXt-L and two copies.
_TIMES_INPUT = 40


@dataclass(frozen=True)
class Feed:
    """One input array ``(N, C, H, W)`` float32 and what it is."""

    what: str
    array: NDArray[np.float32]


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Standard normal noise, the same on every machine and for every numpy version."""
    # numpy freezes the stream of RandomState for good; that of Generator may change.
    values: NDArray[np.float32] = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    return values


def feeds_for(
    shape: Sequence[int | str], preprocessing: Preprocessing | None, pictures: Sequence[Path], seed: int = 0
) -> Iterator[Feed]:
    """Noise at the artifact's batch (1 and 3 for a dynamic one), then pictures at the same batch.

    Args:
        shape: of the artifact's input.
        preprocessing: of the pictures; ``None`` leaves them out.
        pictures: files; at most :data:`MAX_PICTURES` are used.
        seed: of the noise.
    """
    inner = tuple(int(n) for n in shape[1:])
    _check_memory(shape[0], inner)
    batches = [shape[0]] if isinstance(shape[0], int) else list(DYNAMIC_BATCHES)
    for batch in batches:
        yield Feed(f"noise, batch {batch}", noise((batch, *inner), seed))
    if preprocessing is None or not pictures:
        return
    arrays = [preprocessing(read_picture(path).image) for path in pictures[:MAX_PICTURES]]
    batch = batches[-1]
    for first in range(0, len(arrays), batch):
        rows = [arrays[(first + i) % len(arrays)] for i in range(batch)]
        yield Feed(f"pictures, batch {batch}", np.stack(rows))


def _check_memory(batch: int | str, inner: tuple[int, ...]) -> None:
    """Refuse a batch that the system would end the process for."""
    _, available = physical_memory()
    needed = _TIMES_INPUT * 4 * math.prod(inner) * (batch if isinstance(batch, int) else 1)
    if available and needed > available:
        raise UsageError(
            f"a check at batch {batch} needs about {needed / 1e9:.0f} GB, {available / 1e9:.0f} GB are there; "
            "take a smaller batch, a dynamic one, or --no-verify"
        )
