"""NeoCell as the paper writes it, patch by patch: slow and plain (arXiv 2403.11251, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from neonext_ascend.kernels.geometry import Cell, Geometry
from neonext_ascend.kernels.operands import check, sizes


def neocell_patchwise(
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    geometry: Geometry,
    bias: Sequence[Tensor] | None = None,
) -> Tensor:
    """``Y[c, i, j] = L_c X[c, i, j] R_c + bias_c`` over the patches ``i, j`` of each channel c.

    Args:
        x: ``(N, C, H, W)``, any floating dtype.
        left, right: for each group ``L (C_g, h', h)`` and ``R (C_g, w, w')``.
        geometry: the groups.
        bias: for each group ``(C_g, h', w')``, added to every patch.

    Returns:
        ``(N, C, H', W')``.

    Raises:
        GeometryError: the map is too small for a cell or its shift, or the tensors do not fit.
    """
    check(x, left, right, geometry, bias)
    h_out, w_out = geometry.output_size(*sizes(x)[-2:])
    outputs, first = [], 0
    for g, group in enumerate(geometry.groups):
        shifts = zip(group.shifts("left").tolist(), group.shifts("right").tolist(), strict=True)
        for c, (down, across) in enumerate(shifts):
            y = _one_channel(
                x[:, first + c],
                left[g][c],
                right[g][c],
                None if bias is None else bias[g][c],
                group.cell,
                (down, across),
            )
            outputs.append(y[:, :h_out, :w_out])
        first += group.channels
    return torch.stack(outputs, dim=1)


def _one_channel(
    x: Tensor, left: Tensor, right: Tensor, bias: Tensor | None, cell: Cell, shift: tuple[int, int]
) -> Tensor:
    """One channel ``(N, H, W)``: pad to whole patches with zeros, multiply each, drop what the shift added."""
    top, before = (cell.h_in - shift[0]) % cell.h_in, (cell.w_in - shift[1]) % cell.w_in
    bottom, after = -(top + x.shape[1]) % cell.h_in, -(before + x.shape[2]) % cell.w_in
    padded = F.pad(x, (before, after, top, bottom))
    n, height, width = padded.shape
    patches = padded.reshape(n, height // cell.h_in, cell.h_in, width // cell.w_in, cell.w_in)
    y = torch.einsum("ah,nihjw,wb->niajb", left, patches, right)
    if bias is not None:
        y = y + bias[None, None, :, None, :]
    y = y.reshape(n, height // cell.h_in * cell.h_out, width // cell.w_in * cell.w_out)
    return y[:, top:, before:]
