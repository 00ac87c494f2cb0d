"""The fused NeoCell as two PyTorch operators with derivatives: the Triton kernel where it can run, else matmuls.

``neonext_ascend::neocell`` and ``neonext_ascend::neocell_backward`` take the cells, not A and B; ``torch.compile`` and
``torch.export`` see one operator each. Both have the same answer on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from neonext_ascend.kernels import triton_kernels, triton_neocell
from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry, Side
from neonext_ascend.kernels.operands import autocast_dtype, check

# Chips that the vendor's compiler has targets for, by how their names begin (ascendnpu-ir 1.2.0; no 310P, no 310B).
_TARGETS = ("Ascend910B", "Ascend910_93", "Ascend950")
# Which part of Triton compiles for which device: triton-ascend and upstream Triton bear the same name.
_COMPILERS = {"cuda": "triton.backends.nvidia", "npu": "triton.backends.ascend"}
# triton-ascend's launcher refuses more programs.
_LARGEST_GRID = 65535


def available(x: Tensor, geometry: Geometry) -> bool:
    """Whether the Triton kernel would run for this ``X (N, C, H, W)``: its device, dtype and the cells decide."""
    if x.dtype not in triton_neocell.DTYPES or x.device.type not in _COMPILERS or x.numel() == 0:
        return False
    if not (triton_neocell.supports(geometry) and _compiles_for(x.device.type, x.device.index)):
        return False
    height, width = x.shape[-2:]
    return x.device.type != "npu" or triton_neocell.most_programs(geometry, height, width, x.dtype) <= _LARGEST_GRID


def neocell_fused(x: Tensor, left: Sequence[Tensor], right: Sequence[Tensor], geometry: Geometry) -> Tensor:
    """``Y_c = A_c X_c B_c`` without A and B in memory where the Triton kernel can run.

    Under autocast everything is taken in its dtype, as a matmul would. No second derivatives, except for cells that
    are not square: those are multiplied out.

    Args:
        x: ``(N, C, H, W)``, any floating dtype, contiguous or not.
        left, right: for each group ``L (C_g, h', h)`` and ``R (C_g, w, w')`` of x's dtype, on its device.
        geometry: the groups.

    Returns:
        ``(N, C, H', W')``, contiguous.

    Raises:
        GeometryError: the map is too small, or the tensors do not fit the geometry or one another.
    """
    if (dtype := autocast_dtype(x)) is not None:
        x, left, right = x.to(dtype), [L.to(dtype) for L in left], [R.to(dtype) for R in right]
    check(x, left, right, geometry)
    groups = geometry.groups
    if not all(g.cell.h_in == g.cell.h_out == g.cell.w_in == g.cell.w_out for g in groups):
        return _by_matmul(x, left, right, geometry)
    sizes, channels, shifted = [g.cell.h_in for g in groups], [g.channels for g in groups], [g.shift for g in groups]
    y: Tensor = neocell_op(x, list(left), list(right), sizes, channels, shifted)
    return y


@torch.library.custom_op("neonext_ascend::neocell", mutates_args=())
def neocell_op(
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    sizes: Sequence[int],
    channels: Sequence[int],
    shifted: Sequence[bool],
) -> Tensor:
    """Y of square cells: for each group its size, how many channels it has, and whether they shift."""
    geometry = _geometry(tuple(sizes), tuple(channels), tuple(shifted))
    if available(x, geometry):
        return triton_neocell.neocell_forward(x, left, right, geometry)
    with torch.autocast(x.device.type, enabled=False):
        return _by_matmul(x, left, right, geometry)


@torch.library.custom_op("neonext_ascend::neocell_backward", mutates_args=())
def neocell_backward_op(
    grad: Tensor,
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    sizes: Sequence[int],
    channels: Sequence[int],
    shifted: Sequence[bool],
) -> list[Tensor]:
    """dX, then dL of each group, then dR of each group, from dY ``(N, C, H, W)``."""
    geometry = _geometry(tuple(sizes), tuple(channels), tuple(shifted))
    if available(x, geometry):
        dx, dleft, dright = triton_neocell.neocell_backward(grad, x, left, right, geometry)
        return [dx, *dleft, *dright]
    with torch.autocast(x.device.type, enabled=False):
        return _backward_by_matmul(grad, x, left, right, geometry)


@neocell_op.register_fake
def _(
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    sizes: Sequence[int],
    channels: Sequence[int],
    shifted: Sequence[bool],
) -> Tensor:
    return x.new_empty(x.shape)


@neocell_backward_op.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    sizes: Sequence[int],
    channels: Sequence[int],
    shifted: Sequence[bool],
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in (x, *left, *right)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, left, right, *ctx.geometry = inputs
    ctx.save_for_backward(x, *left, *right)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, *cells = ctx.saved_tensors
    half = len(cells) // 2
    dx, *dcells = neocell_backward_op(grad, x, cells[:half], cells[half:], *ctx.geometry)
    return dx, dcells[:half], dcells[half:], None, None, None


neocell_op.register_autograd(_backward, setup_context=_setup)


def _by_matmul(x: Tensor, left: Sequence[Tensor], right: Sequence[Tensor], geometry: Geometry) -> Tensor:
    height, width = x.shape[-2:]
    A = block_diagonal(left, geometry, "left", height, width)
    B = block_diagonal(right, geometry, "right", height, width)
    return neocell_blockdiag(x, A, B).contiguous()


def _backward_by_matmul(
    grad: Tensor, x: Tensor, left: Sequence[Tensor], right: Sequence[Tensor], geometry: Geometry
) -> list[Tensor]:
    """``dX = A^T dY B^T``; ``dA = dY B^T X^T`` and ``dB = (A X)^T dY``, summed over images and blocks."""
    height, width = x.shape[-2:]
    A = block_diagonal(left, geometry, "left", height, width)
    Bt = block_diagonal(right, geometry, "right", height, width).mT
    G = grad @ Bt
    dA = torch.einsum("ncrw,ncqw->crq", G, x)
    dB = torch.einsum("ncrw,ncrv->cwv", A @ x, grad)
    cells = _sum_blocks(dA, left, geometry, "left"), _sum_blocks(dB, right, geometry, "right")
    return [(A.mT @ G).contiguous(), *cells[0], *cells[1]]


def _sum_blocks(full: Tensor, cells: Sequence[Tensor], geometry: Geometry, side: Side) -> list[Tensor]:
    """The gradients of the cells from that of A or B ``(C, S, S)``: each element's, summed over where it stands."""
    height, width = full.shape[-2:]
    counts = [cell.numel() for cell in cells]
    # Cells of running numbers show where each element stands; 0 stays for what lies outside the blocks.
    numbers = torch.arange(1, sum(counts) + 1, device=full.device)
    where = block_diagonal(_cut(numbers, cells), geometry, side, height, width)
    sums = full.new_zeros(sum(counts) + 1).index_add_(0, where.flatten(), full.flatten())
    return [part.clone() for part in _cut(sums[1:], cells)]


def _cut(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """A vector cut into tensors of these shapes."""
    parts = torch.split(flat, [t.numel() for t in like])
    return [part.view(t.shape) for part, t in zip(parts, like, strict=True)]


@lru_cache(maxsize=256)
def _geometry(sizes: tuple[int, ...], channels: tuple[int, ...], shifted: tuple[bool, ...]) -> Geometry:
    """The geometry that the operators' plain arguments describe."""
    return Geometry(
        tuple(CellGroup(Cell.square(k), n, s) for k, n, s in zip(sizes, channels, shifted, strict=True)),
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _compiles_for(kind: str, index: int | None) -> bool:
    """Whether Triton is here with a compiler for this device.

    On CUDA from compute capability 8.0 (bfloat16) on; on an NPU for the chips that ascendnpu-ir 1.2.0 has targets for.
    """
    if triton_kernels.triton is None or find_spec(_COMPILERS[kind]) is None:
        return False
    if kind == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(index) >= (8, 0)
    named: Any = getattr(torch.get_device_module(kind), "get_device_name", None)
    return named is not None and str(named(index)).startswith(_TARGETS)
