"""Section 3.5: how far a pixel sees through cells of one size, of two, with shifts, and with both; by gradients.

Needs nothing but the package; writes ``docs/images/receptive_field.svg``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from neonext_ascend.drawing.style import SOFT, draw, write
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.neocell import NeoCell

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "receptive_field.svg"
KINDS = {
    "one size: 7": ((7,), False),
    "two sizes: 4 + 7": ((4, 7), False),
    "shifts: 7": ((7,), True),
    "both: 4 + 7, shifts": ((4, 7), True),
}
CHANNELS, MAP, DEPTHS = 56, 56, (1, 2, 4, 8)
PANEL, GAP, TOP = 168, 16, 84


def main() -> bool:
    """Whether each remedy widens what one size alone leaves shut in its patch."""
    fields = {kind: {depth: field(*choice, depth) for depth in DEPTHS} for kind, choice in KINDS.items()}
    print(f"{'pixels that reach the middle one, of ' + str(MAP * MAP):42}" + "".join(f"{d:>3} cells" for d in DEPTHS))
    counts = {kind: [int((seen[depth] > 0).sum()) for depth in DEPTHS] for kind, seen in fields.items()}
    for kind, row in counts.items():
        print(f"{kind:42}" + "".join(f"{count:9}" for count in row))
    deepest = {kind: seen[DEPTHS[-1]] for kind, seen in fields.items()}
    PICTURE.write_text(picture(deepest), encoding="utf-8")
    print(f"wrote {PICTURE.name}")
    shut = counts["one size: 7"]
    return len(set(shut)) == 1 and all(row[-1] > shut[-1] for kind, row in counts.items() if kind != "one size: 7")


def field(sizes: tuple[int, ...], shift: bool, depth: int, seed: int = 0) -> NDArray[np.float64]:
    """Mean magnitude of the middle pixel's gradient by each pixel of the map ``(MAP, MAP)``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            layer
            for _ in range(depth)
            for layer in (NeoCell(Geometry.split(CHANNELS, sizes, shift)), nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False))
        ]
        x = torch.randn(1, CHANNELS, MAP, MAP, requires_grad=True)
        y = nn.Sequential(*layers)(x)
        torch.autograd.backward(y[0, :, MAP // 2, MAP // 2].sum())
    assert x.grad is not None
    seen: NDArray[np.float64] = x.grad[0].abs().mean(0).double().numpy()
    return seen


def picture(fields: dict[str, NDArray[np.float64]]) -> str:
    """One panel a kind, logarithmic over four decades."""

    def paint(figure: Figure) -> None:
        width, height = figure.get_size_inches() * 72
        for number, (kind, seen) in enumerate(fields.items()):
            left = GAP + number * (PANEL + GAP)
            panel = figure.add_axes((left / width, GAP / height, PANEL / width, PANEL / height))
            shown = np.log10(np.maximum(seen / seen.max(), 1e-4))
            panel.imshow(shown, cmap="viridis", vmin=-4, vmax=0, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            write(figure, left, TOP - 8, kind, color=SOFT)

    told = "; ".join(f"{kind}: {int((seen > 0).sum())} of {seen.size} pixels" for kind, seen in fields.items())
    width, title = GAP + len(fields) * (PANEL + GAP), f"What a pixel sees through {DEPTHS[-1]} cells"
    subtitle = "magnitude of the middle pixel's gradient, logarithmic over four decades"
    return draw(width, TOP + PANEL + GAP, title, told, paint, subtitle)
