"""NeoCell as two batched matmuls with block-diagonal matrices (arXiv 2403.11251, equations 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry, Side
from neonext_ascend.kernels.operands import table

What = Literal[Side, "bias"]
Table = NDArray[np.int64]


def block_diagonal(weights: Sequence[Tensor], geometry: Geometry, side: Side, height: int, width: int) -> Tensor:
    """A ``(C, H', H)`` or B ``(C, W, W')`` from the cells of all groups; differentiable, one gather each way.

    Args:
        weights: for each group ``L (C_g, h', h)`` (left) or ``R (C_g, w, w')`` (right).
        geometry: the groups.
        side: ``left`` for A, ``right`` for B.
        height, width: of the map in front of the NeoCell, in pixels.

    Raises:
        GeometryError: the map is too small for a cell or its shift.
    """
    return _spread(weights, geometry, side, height, width)


def tiled_bias(bias: Sequence[Tensor], geometry: Geometry, height: int, width: int) -> Tensor:
    """The bias of every patch, ``(C, H', W')``, from the cells' ``(C_g, h', w')``."""
    return _spread(bias, geometry, "bias", height, width)


def neocell_blockdiag(x: Tensor, A: Tensor, B: Tensor, bias: Tensor | None = None) -> Tensor:
    """``Y_c = A_c X_c B_c + bias_c``; for the backward pass X, A X, A and B are kept, nothing else.

    Args:
        x: ``(N, C, H, W)``.
        A: ``(C, H', H)``.
        B: ``(C, W, W')``.
        bias: anything that broadcasts to ``(C, H', W')``.

    Returns:
        ``(N, C, H', W')``, channels last in memory.

    Raises:
        GeometryError: X has other than four axes.
    """
    if x.dim() != 4:
        raise GeometryError(f"a NeoCell got X {tuple(x.shape)}; expected (N, C, H, W)")
    n, channels, height, width = x.shape
    h_out, w_out = A.shape[1], B.shape[2]
    # (C, H, N W), then (C, H' N, W): the batch widens each product, so A and B are never repeated for it.
    wide = torch.bmm(A, x.permute(1, 2, 0, 3).reshape(channels, height, n * width))
    tall = torch.bmm(wide.view(channels, h_out * n, width), B).view(channels, h_out, n, w_out)
    # (C, H', N, W') to (N, H', W', C): the linear layers behind a NeoCell read the channels of one pixel together.
    y = tall.permute(2, 1, 3, 0).contiguous().permute(0, 3, 1, 2)
    return y if bias is None else y + bias


def _spread(cells: Sequence[Tensor], geometry: Geometry, what: What, height: int, width: int) -> Tensor:
    flat = torch.cat([cells[0].new_zeros(1), *(cell.reshape(-1) for cell in cells)])
    if torch.compiler.is_dynamo_compiling():
        # torch.compile would read the tables' Python code and work them out anew in each step. An operator it takes as
        # it is, and carries it out when it records the operations below: the tables become constants of the graph.
        matrix: Tensor = torch.ops.neonext_ascend.spread(flat, _as_numbers(geometry), what, height, width)
        return matrix
    return _spread_flat(flat, geometry, what, height, width)


def _spread_flat(flat: Tensor, geometry: Geometry, what: What, height: int, width: int) -> Tensor:
    index, places = _tables(geometry, what, height, width)
    sources = table(index, flat.device)
    if flat.requires_grad and not torch._C._is_tracing():  # a trace holds PyTorch's own operators alone
        back = table(places, flat.device).view(places.shape)
        matrix: Tensor = _Spread.apply(flat, sources, back)  # type: ignore[no-untyped-call]
    else:
        matrix = flat.index_select(0, sources)
    return matrix.view(index.shape)


def _spread_operator(flat: Tensor, groups: Sequence[int], what: What, height: int, width: int) -> Tensor:
    # int() fixes a size that torch.compile left open: the tables belong to one size.
    return _spread_flat(flat, _as_geometry(tuple(groups)), what, int(height), int(width))


torch.library.define(
    "neonext_ascend::spread", "(Tensor flat, int[] groups, str what, SymInt height, SymInt width) -> Tensor"
)
torch.library.impl("neonext_ascend::spread", "CompositeImplicitAutograd", _spread_operator)


class _Spread(torch.autograd.Function):
    """Each element of the cells to all its places; the gradient is the sum over those places.

    Autograd's own gradient of a gather adds up every element of A, most of them into the zero outside the blocks.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(flat: Tensor, index: Tensor, places: Tensor) -> Tensor:
        return flat.index_select(0, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        padded = torch.cat([grad, grad.new_zeros(1)])
        return padded.index_select(0, places.reshape(-1)).view(places.shape).sum(0), None, None


@lru_cache(maxsize=64)
def _tables(geometry: Geometry, what: What, height: int, width: int) -> tuple[Table, Table]:
    """Which element stands at each place, and at which places each element stands; blocks of one stage share them.

    Element 0 is the zero outside the blocks, the cells' elements count from 1.

    Returns:
        the index map in the matrix's shape; and ``(most places, 1 + elements)``. An element with fewer places, and the
        zero, has the number one past the last in their stead, where the gradient is padded by 0.
    """
    index = geometry.bias_index_map(height, width) + 1 if what == "bias" else geometry.index_map(what, height, width)
    elements = sum(group.channels * _size(group.cell, what) for group in geometry.groups)
    flat = index.reshape(-1)
    places = np.flatnonzero(flat)
    places = places[np.argsort(flat[places], kind="stable")]
    element = flat[places]
    counts = np.bincount(element, minlength=1 + elements)
    number = np.arange(places.size) - (np.cumsum(counts) - counts)[element]
    back = np.full((counts.max(), 1 + elements), flat.size)
    back[number, element] = places
    return index, back


def _size(cell: Cell, what: What) -> int:
    """Elements of one L, R or bias."""
    sizes = {"left": (cell.h_out, cell.h_in), "right": (cell.w_in, cell.w_out), "bias": (cell.h_out, cell.w_out)}
    rows, columns = sizes[what]
    return rows * columns


def _as_numbers(geometry: Geometry) -> list[int]:
    """Cell sizes, channels and shift of each group in a row: an operator takes numbers, not a Geometry."""
    numbers: list[int] = []
    for group in geometry.groups:
        cell = group.cell
        numbers += [cell.h_in, cell.h_out, cell.w_in, cell.w_out, group.channels, int(group.shift)]
    return numbers


@lru_cache(maxsize=256)
def _as_geometry(numbers: tuple[int, ...]) -> Geometry:
    groups = zip(*[iter(numbers)] * 6, strict=True)
    return Geometry(tuple(CellGroup(Cell(*cell), channels, bool(shift)) for *cell, channels, shift in groups))
