"""One NeoCell as ONNX files of different form, and the 7x7 depthwise convolution that it stands for.

- block-diagonal: two MatMul with constant A and B, as this package exports it.
- patchwise: the paper's equation 1 for all channels of one cell size and shift at once, as torch's exporter gives it:
  Pad, Reshape and Transpose to patches, two MatMul of small matrices, and back.
- patchwise, packed: the same with all patches of a channel in one wide matrix; one Transpose more for two wide MatMul.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_exporter import export_with_torch
from neonext_ascend.exporters.to_onnx import export_onnx
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.passes.pipeline import prepare

BLOCK_DIAGONAL, PATCHWISE, PACKED, DEPTHWISE = (
    "block-diagonal",
    "patchwise",
    "patchwise, packed",
    "depthwise 7x7",
)


@dataclass(frozen=True, slots=True)
class SubGroup:
    """Neighbouring channels ``first`` to ``last - 1`` with one cell size and one shift, in pixels."""

    first: int
    last: int
    size: int
    shift: int


class Patchwise(nn.Module):
    """A NeoCell of square cells, patch by patch, vectorised over the channels of a sub-group.

    Args:
        cell: whose weights it copies.
        packed: put all patches of a channel into one wide matrix.
    """

    def __init__(self, cell: NeoCell, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.sub_groups = list(_sub_groups(cell))
        left, right = _by_channel(cell.weight_a), _by_channel(cell.weight_b)
        for index, part in enumerate(self.sub_groups):
            shape = (-1, part.size, part.size) if packed else (-1, 1, 1, part.size, part.size)
            for side, cells in (("left", left), ("right", right)):
                self.register_buffer(f"{side}_{index}", torch.stack(cells[part.first : part.last]).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to the same shape."""
        product = _packed_product if self.packed else _product
        outputs = []
        for index, part in enumerate(self.sub_groups):
            left, right = self.get_buffer(f"left_{index}"), self.get_buffer(f"right_{index}")
            channels, (height, width) = x[:, part.first : part.last], x.shape[2:]
            before = (part.size - part.shift) % part.size
            below, after = -(before + height) % part.size, -(before + width) % part.size
            if before or below or after:
                channels = F.pad(channels, (before, after, before, below))
            y = product(channels, left, right, part.size)
            outputs.append(y[:, :, before : before + height, before : before + width])
        return torch.cat(outputs, dim=1)


def _product(x: Tensor, left: Tensor, right: Tensor, size: int) -> Tensor:
    """``L X R`` for every patch; left, right ``(C, 1, 1, k, k)``."""
    n, c, height, width = x.shape
    # (N, C, H/k, k, W/k, k) to (N, C, H/k, W/k, k, k) and back
    patches = x.reshape(n, c, height // size, size, width // size, size).permute(0, 1, 2, 4, 3, 5)
    return (left @ patches @ right).permute(0, 1, 2, 4, 3, 5).reshape(n, c, height, width)


def _packed_product(x: Tensor, left: Tensor, right: Tensor, size: int) -> Tensor:
    """``L X R`` for every patch; left, right ``(C, k, k)``."""
    n, c, height, width = x.shape
    rows, columns = height // size, width // size
    # (N, C, H/k, k, W/k, k) to (C, k, N H/k W/k k), then (C, N H/k W/k k, k)
    wide = x.reshape(n, c, rows, size, columns, size).permute(1, 3, 0, 2, 4, 5).reshape(c, size, -1)
    y = (left @ wide).reshape(c, size, n, rows, columns, size).permute(0, 2, 3, 1, 4, 5).reshape(c, -1, size) @ right
    return y.reshape(c, n, rows, size, columns, size).permute(1, 0, 2, 3, 4, 5).reshape(n, c, height, width)


def _by_channel(weights: nn.ParameterList) -> list[Tensor]:
    """The cells of all groups, one for each channel."""
    return [cell for weight in weights for cell in weight.detach()]


def _sub_groups(cell: NeoCell) -> Iterator[SubGroup]:
    first = 0
    for group in cell.geometry.groups:
        for shift, channels in zip(*np.unique(group.shifts("left"), return_counts=True), strict=True):
            yield SubGroup(first, first + int(channels), group.cell.h_in, int(shift))
            first += int(channels)


def stage_cell(config: NetworkConfig, stage: int) -> tuple[NeoCell, Tensor]:
    """A NeoCell of this stage (0 to 3) with weights of order 1, and an input ``(1, C, H, W)`` of normal noise."""
    cell = NeoCell(config.geometry(stage)).eval()
    redraw_at_order_one(cell)
    noise = torch.randn(
        1, config.widths[stage], *config.stage_sizes()[stage], generator=torch.Generator().manual_seed(1)
    )
    return cell, noise


def export_forms(cell: NeoCell, example: Tensor, folder: Path) -> dict[str, Path]:
    """The files by form; all but the convolution compute the same."""
    channels = cell.geometry.channels
    forms = (BLOCK_DIAGONAL, PATCHWISE, PACKED, DEPTHWISE)
    paths = {form: folder / f"{form.replace(' ', '_')}.onnx" for form in forms}
    prepared, _ = prepare(nn.Sequential(cell).eval(), input_shape=tuple(example.shape))
    export_onnx(prepared, paths[BLOCK_DIAGONAL])
    export_with_torch(Patchwise(cell, packed=False).eval(), example, paths[PATCHWISE])
    export_with_torch(Patchwise(cell, packed=True).eval(), example, paths[PACKED])
    depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
    export_with_torch(depthwise.eval(), example, paths[DEPTHWISE])
    return paths
