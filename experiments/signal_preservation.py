"""Figure 5 and section 3.3: what NeoInit preserves of a signal, against plain random weights.

Needs nothing but the package. A cell's output correlates with its input by ``1 / (1 + 1/k)``: L and R are identities
plus noise of variance ``1/k^2``, each of which adds ``1/k`` of the signal's energy.
"""

from __future__ import annotations

import torch

from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.models.neocell import NeoCell

# Measured before, over many cells; what is measured here must lie within a hundredth.
KNOWN, WITHIN = {7: 0.876, 4: 0.792}, 0.01
CHANNELS, PATCHES = 4096, 2


def main() -> bool:
    """Whether both cells keep what is known."""
    held = True
    print(f"{'k':>3}{'NeoInit':>10}{'known':>8}{'1/(1+1/k)':>11}{'random normal':>15}{'norm':>11}")
    for k, known in KNOWN.items():
        neo, norm = preserved(k, random=False)
        plain, _ = preserved(k, random=True)
        held &= abs(neo - known) <= WITHIN and abs(plain) <= WITHIN
        print(f"{k:3}{neo:10.4f}{known:8}{1 / (1 + 1 / k):11.4f}{plain:15.4f}{norm:11.4f}")
    return held


def preserved(k: int, random: bool, seed: int = 0) -> tuple[float, float]:
    """Correlation of many cells' outputs with their inputs, and the ratio of the norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        cell = NeoCell(Geometry((CellGroup(Cell.square(k), CHANNELS),)))
        for weight in (*cell.weight_a, *cell.weight_b) if random else ():
            weight.copy_(torch.randn(weight.shape) * k**-0.5)
        x = torch.randn(8, CHANNELS, PATCHES * k, PATCHES * k, generator=generator)
        y = cell(x)
    return float((x * y).sum() / (x.norm() * y.norm())), float(y.norm() / x.norm())
