"""What is fed to both sides: seeded noise, and pictures through the artifact's own preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.images import Preprocessing
from neonext_ascend.pictures import read_picture

DYNAMIC_BATCHES = (1, 3)
MAX_PICTURES = 3


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
