"""The NeoCells that the published networks run, each once: what the vendor's compiler must accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.variants import VARIANTS

Direction = Literal["forward", "backward"]

NETWORKS = (
    "neonext_t",
    "neonext_s",
    "neonext_b",
    "neonext_t_384",
    "neonext_s_384",
    "neonext_b_384",
    "neonext_l_384",
)
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
TARGETS = ("Ascend910B3", "Ascend910B4")
# The batch decides how many small maps share a tile; from 8 on the kernels are the same.
BATCHES = {"fp16": (1, 8, 32, 128), "bf16": (8,), "fp32": (8,)}
DTYPES = tuple(BATCHES)


@dataclass(frozen=True, slots=True)
class StageShape:
    """The NeoCell of one or more networks' stages: channels, map in pixels, cell sizes, and whether they shift."""

    channels: int
    height: int
    width: int
    cells: tuple[int, ...]
    shift: bool

    @property
    def geometry(self) -> Geometry:
        """As a network of this stage has it."""
        return Geometry.split(self.channels, self.cells, self.shift)

    def to_json(self) -> dict[str, object]:
        """The form in the committed results."""
        return {
            "channels": self.channels,
            "map": [self.height, self.width],
            "cells": list(self.cells),
            "shift": self.shift,
        }


def stage_shapes() -> dict[StageShape, list[str]]:
    """Every distinct shape, with the stages that have it, such as ``neonext_t stage 1``."""
    found: dict[StageShape, list[str]] = {}
    for config in _networks():
        for stage, (height, width) in enumerate(config.stage_sizes()):
            shape = StageShape(config.widths[stage], height, width, config.cells[stage], config.shifts[stage])
            found.setdefault(shape, []).append(f"{config.name} stage {stage + 1}")
    return found


def _networks() -> Iterator[NetworkConfig]:
    """The released networks, and L at 224, which was not released: with the shifts of L at 384."""
    for name in NETWORKS:
        yield VARIANTS[name].config
    yield replace(VARIANTS["neonext_l_384"].config, name="neonext_l_384 at 224", image_size=(224, 224))
