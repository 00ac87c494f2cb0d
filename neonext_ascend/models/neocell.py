"""NeoCell as a PyTorch layer, and NeoInit, its initialisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag, tiled_bias
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.operands import sizes


class NeoCell(nn.Module):
    """``Y_c = A_c X_c B_c`` with block-diagonal A and B of learned cells (arXiv 2403.11251, section 3).

    Args:
        geometry: channel groups with their cell sizes and shifts.
        bias: whether each cell has a bias ``(C_g, h', w')``, added to every patch.

    Attributes:
        weight_a: for each group ``L (C_g, h', h)``.
        weight_b: for each group ``R (C_g, w, w')``.
        bias: for each group ``(C_g, h', w')``, or ``None``.
    """

    def __init__(self, geometry: Geometry, bias: bool = False) -> None:
        super().__init__()
        self.geometry = geometry
        cells = [(group.channels, group.cell) for group in geometry.groups]
        self.weight_a = nn.ParameterList(nn.Parameter(torch.empty(n, c.h_out, c.h_in)) for n, c in cells)
        self.weight_b = nn.ParameterList(nn.Parameter(torch.empty(n, c.w_in, c.w_out)) for n, c in cells)
        self.bias = nn.ParameterList(nn.Parameter(torch.empty(n, c.h_out, c.w_out)) for n, c in cells) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """NeoInit for the cells, zeros for the bias."""
        for weight in (*self.weight_a, *self.weight_b):
            neo_init_(weight)
        for bias in self.bias or ():
            nn.init.zeros_(bias)

    def matrices(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """A ``(C, H', H)`` and B ``(C, W, W')`` for a map of ``height x width`` pixels.

        Raises:
            GeometryError: the map is too small for a cell or its shift.
        """
        left = block_diagonal(_listed(self.weight_a), self.geometry, "left", height, width)
        right = block_diagonal(_listed(self.weight_b), self.geometry, "right", height, width)
        return left, right

    def full_bias(self, height: int, width: int) -> Tensor | None:
        """The bias of the whole map ``(C, H', W')``, or ``None``."""
        return None if self.bias is None else tiled_bias(_listed(self.bias), self.geometry, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``; its memory may lie channels last, so reshape it, never ``view``.

        Where the fused kernel runs (CUDA or an NPU with Triton) there is a first derivative and no vmap.
        """
        height, width = sizes(x)[-2:]
        bias = self.full_bias(height, width)
        if x.device.type != "cpu":
            # Imported here: Triton takes its time, and a CPU has no use for it.
            from neonext_ascend.kernels import fused

            if fused.available(x, self.geometry):
                y = fused.neocell_fused(x, _listed(self.weight_a), _listed(self.weight_b), self.geometry)
                return y if bias is None else y + bias
        left, right = self.matrices(height, width)
        return neocell_blockdiag(x, left, right, bias)

    def extra_repr(self) -> str:
        """The groups in short."""
        return ", ".join(f"{g.channels} x {g.cell}{' shifted' if g.shift else ''}" for g in self.geometry.groups)


def _listed(cells: nn.ParameterList) -> list[Tensor]:
    return [cell for cell in cells]  # noqa: C416 (torch.compile of torch 2.8 cannot trace list() of a ParameterList)


@torch.no_grad()
def neo_init_(weight: Tensor) -> Tensor:
    """NeoInit in place: (skewed) identity plus noise ``N(0, 1/sqrt(rows columns))``.

    A square cell starts near the identity; a non-square one averages ``round(max / min)`` neighbours. What this
    preserves is the correlation of a cell's output with its input, about ``1 / (1 + 1/k)``, not its norm
    (arXiv 2403.11251, algorithm 1).

    Args:
        weight: ``(C, rows, columns)``.
    """
    if weight.is_meta:
        return weight  # has no numbers; torch.eye on the meta device would load torch's compiler: 1 s and 70 MB
    _, rows, columns = weight.shape
    weight.copy_(_skewed_identity(rows, columns).to(weight))
    return weight.add_(torch.randn_like(weight), alpha=(rows * columns) ** -0.5)


def _skewed_identity(rows: int, columns: int) -> Tensor:
    """``(rows, columns)``: the identity, or runs of ``round(max / min)`` equal weights along the longer axis."""
    if rows == columns:
        return torch.eye(rows)
    if rows < columns:
        return _skewed_identity(columns, rows).T
    step = round(rows / columns)
    # Rounding up can run past the end (6 -> 4 has step 2): such a run keeps the last element.
    starts = (step * torch.arange(columns)).clamp(max=rows - 1)
    places = torch.arange(rows)[:, None]
    skewed = ((places >= starts) & (places < starts + step)).float()
    return skewed / skewed.sum(dim=0, keepdim=True)
