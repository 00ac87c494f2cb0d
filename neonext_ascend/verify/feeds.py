"""What is fed to both sides: seeded noise, and pictures through the artifact's own preprocessing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import UsageError
from neonext_ascend.images.decoding import read_picture
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.machine.environment import physical_memory
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.spec import TensorSpec

DYNAMIC_BATCHES = (1, 3)
MAX_PICTURES = 3
# Memory of a forward pass over its input's: the widest activations of NeoNeXt-L and two copies.
_TIMES_INPUT = 40


@dataclass(frozen=True)
class Feed:
    """One input and what it is.

    Args:
        what: in words.
        array: ``(N, C, H, W)`` float32.
        pixels: ``(N, H, W, 3)`` uint8, of which ``array`` is the normalised form; ``None`` where nothing takes pixels.
        seed: of noise.
        names: of the pictures, one a row; empty for noise.
    """

    what: str
    array: NDArray[np.float32]
    pixels: NDArray[np.uint8] | None = None
    seed: int = 0
    names: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``noise`` or ``pictures``."""
        return self.what.partition(",")[0]

    def for_input(self, spec: TensorSpec) -> NDArray[np.generic]:
        """What an input of this dtype takes."""
        if spec.dtype != "uint8":
            return self.array
        assert self.pixels is not None
        return self.pixels


def infer_feed(runner: Runner, feed: Feed) -> Mapping[str, NDArray[np.generic]]:
    """What a runner of one input gives for a feed."""
    return runner.infer({runner.inputs[0].name: feed.for_input(runner.inputs[0])})


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Standard normal noise, the same on every machine and for every numpy version."""
    # numpy freezes the stream of RandomState for good; that of Generator may change.
    values: NDArray[np.float32] = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    return values


def pixel_noise(shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Evenly distributed bytes, the same on every machine and for every numpy version."""
    values: NDArray[np.uint8] = np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)
    return values


def noise_feed(shape: tuple[int, ...], preprocessing: Preprocessing | None, seed: int = 0) -> Feed:
    """Noise ``(N, C, H, W)``; pixels where the artifact takes them."""
    what = f"noise, batch {shape[0]}"
    if preprocessing is None or preprocessing.normalised_on == "host":
        return Feed(what, noise(shape, seed), seed=seed)
    pixels = pixel_noise((shape[0], *shape[2:], shape[1]), seed)
    return Feed(f"{what}, pixels", preprocessing.normalise(pixels), pixels, seed)


def feeds_for(
    shape: Sequence[int | str],
    preprocessing: Preprocessing | None,
    pictures: Sequence[Path],
    seed: int = 0,
    batches: Sequence[int] = DYNAMIC_BATCHES,
) -> Iterator[Feed]:
    """Noise at the artifact's batch (several for a dynamic one), then pictures at the same batch.

    Args:
        shape: ``(N, C, H, W)`` of the network's input.
        preprocessing: of the pictures; ``None`` leaves them out.
        pictures: files; at most :data:`MAX_PICTURES` are used.
        seed: of the noise.
        batches: that are tried where N is dynamic.
    """
    inner = tuple(int(n) for n in shape[1:])
    batches = [shape[0]] if isinstance(shape[0], int) else list(batches)
    _check_memory(max(batches), inner)
    for batch in batches:
        yield noise_feed((batch, *inner), preprocessing, seed)
    if preprocessing is None or not pictures:
        return
    pictures = pictures[:MAX_PICTURES]
    images = [preprocessing.pixels(read_picture(path).image) for path in pictures]
    batch = batches[-1]
    for first in range(0, len(images), batch):
        rows = [(first + i) % len(images) for i in range(batch)]
        pixels, names = np.stack([images[row] for row in rows]), tuple(pictures[row].name for row in rows)
        yield Feed(f"pictures, batch {batch}", preprocessing.normalise(pixels), pixels, names=names)


def _check_memory(batch: int | str, inner: tuple[int, ...]) -> None:
    """Refuse a batch that the system would end the process for."""
    _, available = physical_memory()
    needed = _TIMES_INPUT * 4 * math.prod(inner) * (batch if isinstance(batch, int) else 1)
    if available and needed > available:
        raise UsageError(
            f"a check at batch {batch} needs about {needed / 1e9:.0f} GB, {available / 1e9:.0f} GB are there; "
            "take a smaller batch, a dynamic one, or --no-verify"
        )
