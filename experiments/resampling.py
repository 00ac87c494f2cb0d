"""Section 3.2: a photograph brought down and up again by non-square cells, fractional factors included.

Needs scikit-learn, whose sample photograph is used (``china.jpg``, of the CC BY licence that its README names), so the
picture is not kept here: it is written to ``build/experiments/resampling.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.models.neocell import NeoCell

PICTURE = Path(__file__).parent.parent / "build" / "experiments" / "resampling.png"
# From and to, pixels of a cell.
FACTORS = ((2, 1), (3, 1), (3, 2), (4, 3), (5, 2), (7, 4))
SIDE = 420  # a multiple of every cell
# Sums of at most 49 float32 numbers below 1; a wrong pixel would be off by a tenth.
SAME = 1e-6


def main() -> bool:
    """Whether each picture has the size that the factor says, and the small one is the means of the areas."""
    photograph = load_sample_image("china.jpg")[:SIDE, 100 : 100 + SIDE]
    x = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    tiles, held = [photograph], True
    print(f"{'factor':>8}{'down':>12}{'up':>12}{'PSNR of what comes back':>26}{'from means of areas':>22}")
    for big, small in FACTORS:
        low = resampled(x, big, small)
        back = resampled(low, small, big)
        quality, away = float(-10 * torch.log10(((back - x) ** 2).mean())), from_means(x, low, big, small)
        held &= low.shape[-1] == SIDE * small // big and back.shape == x.shape and away <= SAME
        tiles += [_pixels(low), _pixels(back)]
        sizes = [f"{one.shape[-1]}x{one.shape[-1]}" for one in (low, back)]
        print(f"{f'{big} to {small}':>8}{sizes[0]:>12}{sizes[1]:>12}{quality:23.2f} dB{away:22.1e}")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    _sheet(tiles).save(PICTURE)
    print(f"wrote {PICTURE.name}")
    return held


def resampled(x: Tensor, before: int, after: int) -> Tensor:
    """The picture through one NeoCell of ``before`` to ``after`` pixels."""
    cell = NeoCell(Geometry((CellGroup(Cell(before, after, before, after), 3),)))
    with torch.no_grad():
        cell.weight_a[0].copy_(area(before, after))
        cell.weight_b[0].copy_(area(before, after).T)
        y: Tensor = cell(x)
    return y


def from_means(x: Tensor, low: Tensor, before: int, after: int) -> float:
    """The largest difference of the small picture from means over areas: each pixel repeated, then averaged."""
    fine = x.repeat_interleave(after, 2).repeat_interleave(after, 3)
    return float((torch.nn.functional.avg_pool2d(fine, before) - low).abs().max())


def area(before: int, after: int) -> Tensor:
    """``(after, before)``: each pixel the mean of what it covers of the old ones."""
    edges = np.arange(after + 1) * before / after
    covered = np.minimum(edges[1:, None], np.arange(1, before + 1)) - np.maximum(edges[:-1, None], np.arange(before))
    return torch.from_numpy(np.maximum(covered, 0) * after / before).float()


def _pixels(x: Tensor) -> NDArray[np.uint8]:
    return (x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def _sheet(tiles: list[NDArray[np.uint8]]) -> Image.Image:
    """The photograph above, then for each factor the small one and what comes back."""
    sheet = Image.new("RGB", (2 * SIDE, SIDE * (1 + len(FACTORS))), "white")
    for number, tile in enumerate(tiles):
        row, column = ((number + 1) // 2, (number + 1) % 2) if number else (0, 0)
        sheet.paste(Image.fromarray(tile), (column * SIDE, row * SIDE))
    return sheet
