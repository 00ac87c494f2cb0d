"""The small networks that tests share, and how far apart two results are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from neonext_ascend.checkpoints.loading import create
from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.models.config import DEFINITIONS, DefinitionName, NetworkConfig
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from tests import DATA

SHIFTS_224 = (True, True, True, False)
SHIFTS_384 = (True, True, True, True)


def small_config(
    image_size: tuple[int, int] = (224, 224), shifts: tuple[bool, ...] = SHIFTS_224, name: str = "small"
) -> NetworkConfig:
    """The network whose weights and answers the authors' code computed for ``tests/data``."""
    return NetworkConfig(
        name=name,
        definition="release",
        depths=(1, 1, 2, 1),
        widths=(16, 32, 64, 128),
        cells=DEFINITIONS["release"].cells,
        shifts=shifts,
        num_classes=10,
        image_size=image_size,
    )


def small_network(image_size: tuple[int, int] = (224, 224), shifts: tuple[bool, ...] = SHIFTS_224) -> NeoNeXt:
    """That network with its weights, which are of order 1 in every tensor."""
    return load_network(small_config(image_size, shifts), read_checkpoint(DATA / "small_release_ema.pt"))


def tiny_config(definition: DefinitionName = "release") -> NetworkConfig:
    """The smallest network that still has every part: two cell sizes, shifts, down-sampling."""
    return NetworkConfig(
        name="tiny",
        definition=definition,
        depths=(1, 1, 1, 1),
        widths=(8, 8, 12, 16),
        cells=DEFINITIONS[definition].cells,
        shifts=SHIFTS_224,
        num_classes=5,
        image_size=(96, 96),
    )


def tiny_network(definition: DefinitionName = "release", seed: int = 0) -> NeoNeXt:
    """That network with weights of order 1: nothing hides behind a LayerScale of 1e-6."""
    network = build(tiny_config(definition), seed)
    redraw_at_order_one(network, seed)
    return network


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative_error(got: ArrayLike, reference: ArrayLike) -> float:
    """``max|difference| / max|reference|``, the project's only meaning of relative error; shapes must agree."""
    a, b = np.asarray(got, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def overflowing_checkpoint(path: Path) -> Path:
    """The trained network with one layer 50,000 times larger and the next as much smaller: fp16 does not hold it."""
    state = create("neonext_nano").state_dict()
    for name, factor in (("fc_1.weight", 5e4), ("fc_1.bias", 5e4), ("fc_2.weight", 2e-5)):
        state[f"stage_3.0.ops.content.{name}"] *= factor
    torch.save(state, path)
    return path
