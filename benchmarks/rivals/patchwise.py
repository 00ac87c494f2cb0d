"""NeoCell as the paper's equation 1 writes it, patch by patch, all channels of one cell size and shift at once.

As a module for torch's exporter (Pad, Reshape and Transpose to patches, two MatMul of small matrices, and back), and as
one einsum for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.neocell import NeoCell


@dataclass(frozen=True, slots=True)
class SubGroup:
    """Neighbouring channels ``first`` to ``last - 1`` of a group with one cell size and one shift, in pixels."""

    group: int
    first: int
    last: int
    size: int
    shift: int


class Patchwise(nn.Module):
    """A NeoCell of square cells, patch by patch.

    Args:
        cell: whose weights it copies.
    """

    def __init__(self, cell: NeoCell) -> None:
        super().__init__()
        self.geometry = cell.geometry
        for side, weights in (("left", cell.weight_a), ("right", cell.weight_b)):
            for index, part in enumerate(sub_groups(cell.geometry)):
                cells = weights[part.group].detach()[part.first : part.last]
                self.register_buffer(f"{side}_{index}", cells.reshape(-1, 1, 1, part.size, part.size).clone())

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape."""

        def product(index: int, _: SubGroup, patches: Tensor) -> Tensor:
            # (N, C, H/k, k, W/k, k) to (N, C, H/k, W/k, k, k) and back
            split = patches.permute(0, 1, 2, 4, 3, 5)
            y = self.get_buffer(f"left_{index}") @ split @ self.get_buffer(f"right_{index}")
            return y.permute(0, 1, 2, 4, 3, 5)

        return _over_patches(x, self.geometry, product)


def patchwise_einsum(x: Tensor, left: Sequence[Tensor], right: Sequence[Tensor], geometry: Geometry) -> Tensor:
    """``(N, C, H, W)`` to the same shape, differentiable; cells ``(C_g, k, k)`` for each group."""

    def product(_: int, part: SubGroup, patches: Tensor) -> Tensor:
        window = slice(part.first, part.last)
        return torch.einsum("cah,ncihjw,cwb->nciajb", left[part.group][window], patches, right[part.group][window])

    return _over_patches(x, geometry, product)


def sub_groups(geometry: Geometry) -> Iterator[SubGroup]:
    """Of all groups, in channel order."""
    for number, group in enumerate(geometry.groups):
        first = 0
        for shift, channels in zip(*np.unique(group.shifts("left"), return_counts=True), strict=True):
            yield SubGroup(number, first, first + int(channels), group.cell.h_in, int(shift))
            first += int(channels)


def _over_patches(x: Tensor, geometry: Geometry, product: Callable[[int, SubGroup, Tensor], Tensor]) -> Tensor:
    """Cut each sub-group's maps into patches ``(N, C, H/k, k, W/k, k)``, multiply them, and join them again."""
    outputs, start = [], 0
    for index, part in enumerate(sub_groups(geometry)):
        stop, size = start + part.last - part.first, part.size
        maps, (height, width) = x[:, start:stop], x.shape[2:]
        before = (size - part.shift) % size
        below, after = -(before + height) % size, -(before + width) % size
        if before or below or after:
            maps = F.pad(maps, (before, after, before, below))
        n, c, high, wide = maps.shape
        y = product(index, part, maps.reshape(n, c, high // size, size, wide // size, size)).reshape(n, c, high, wide)
        outputs.append(y[:, :, before : before + height, before : before + width])
        start = stop
    return torch.cat(outputs, dim=1)
