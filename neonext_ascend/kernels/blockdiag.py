"""NeoCell as two batched matmuls with block-diagonal matrices (arXiv 2403.11251, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neonext_ascend.kernels.geometry import Geometry, Side


def block_diagonal(weights: Sequence[Tensor], geometry: Geometry, side: Side, height: int, width: int) -> Tensor:
    """A ``(C, H', H)`` or B ``(C, W, W')`` from the cells of all groups; differentiable, one gather.

    Args:
        weights: for each group ``L (C_g, h', h)`` (left) or ``R (C_g, w, w')`` (right).
        geometry: the groups.
        side: ``left`` for A, ``right`` for B.
        height, width: of the map in front of the NeoCell, in pixels.

    Raises:
        GeometryError: the map is too small for a cell or its shift.
    """
    zero = weights[0].new_zeros(1)
    flat = torch.cat([zero, *(weight.reshape(-1) for weight in weights)])
    # The tensor is made anew: one made while PyTorch traces with fake tensors must not stay in a cache.
    index = torch.from_numpy(_index_map(geometry, side, height, width)).to(flat.device)
    return flat.index_select(0, index).view(geometry.matrix_shape(side, height, width))


def tiled_bias(bias: Sequence[Tensor], geometry: Geometry, height: int, width: int) -> Tensor:
    """The bias of every patch, ``(C, H', W')``, from the cells' ``(C_g, h', w')``."""
    flat = torch.cat([cell.reshape(-1) for cell in bias])
    index = torch.from_numpy(geometry.bias_index_map(height, width)).to(flat.device)
    return flat[index]


def neocell_blockdiag(x: Tensor, A: Tensor, B: Tensor, bias: Tensor | None = None) -> Tensor:
    """``Y_c = A_c X_c B_c + bias_c``.

    Args:
        x: ``(N, C, H, W)``.
        A: ``(C, H', H)``.
        B: ``(C, W, W')``.
        bias: anything that broadcasts to ``(C, H', W')``.

    Returns:
        ``(N, C, H', W')``.
    """
    y = torch.matmul(torch.matmul(A, x), B)
    return y if bias is None else y + bias


@lru_cache(maxsize=32)
def _index_map(geometry: Geometry, side: Side, height: int, width: int) -> NDArray[np.int64]:
    """The flattened index map: blocks of one stage share it."""
    return geometry.index_map(side, height, width).reshape(-1)
