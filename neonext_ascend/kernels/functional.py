"""NeoCell in each lowering, as functions of PyTorch tensors with one signature; :mod:`reference` is their measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from neonext_ascend.kernels.blockdiag import tiled_bias
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import lower
from neonext_ascend.kernels.operands import check, sizes, table
from neonext_ascend.kernels.program import Add, Crop, Index, Matrix, Pad, Product, Program, Reshape, Transpose, run
from neonext_ascend.spec import LOWERINGS, LoweringName

NeoCellFunction = Callable[[Tensor, Sequence[Tensor], Sequence[Tensor], Geometry, Sequence[Tensor] | None], Tensor]


def neocell(
    x: Tensor,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    geometry: Geometry,
    bias: Sequence[Tensor] | None = None,
    *,
    lowering: LoweringName = "blockdiag",
) -> Tensor:
    """``Y_c = A_c X_c B_c + bias_c`` as ``lowering`` writes it; differentiable.

    Args:
        x: ``(N, C, H, W)``.
        left, right: for each group ``L (C_g, h', h)`` and ``R (C_g, w, w')``.
        geometry: the groups.
        bias: for each group ``(C_g, h', w')``, added to every patch.
        lowering: its name.

    Returns:
        ``(N, C, H', W')``.

    Raises:
        GeometryError: the map is too small, the tensors do not fit, or the lowering does not take this NeoCell.
    """
    check(x, left, right, geometry, bias)
    height, width = sizes(x)[-2:]
    lowered = lower(lowering, geometry, height, width)
    constants = {name: build(matrix, left, right) for name, matrix in lowered.matrices.items()}
    y = run_program(lowered.steps, x, constants)
    return y if bias is None else y + tiled_bias(bias, geometry, height, width)


# Each lowering as a function of (x, left, right, geometry, bias), as :func:`reference.neocell_patchwise` is one.
FUNCTIONS: Mapping[LoweringName, NeoCellFunction] = {name: partial(neocell, lowering=name) for name in LOWERINGS}


def build(matrix: Matrix, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The constant made of the cells of all groups."""
    factors = [_gathered(index(), cells) for index, cells in ((matrix.left, left), (matrix.right, right)) if index]
    product = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    return product.reshape(matrix.shape)


def _gathered(index: Index, cells: Sequence[Tensor]) -> Tensor:
    flat = torch.cat([cells[0].new_zeros(1), *(cell.reshape(-1) for cell in cells)])
    return flat.index_select(0, table(index, flat.device))


def run_program(program: Program, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
    """Carry out a program on a tensor; ``constants`` by the names in its steps."""
    return run(program, x, _TorchMachine(constants))


@dataclass(frozen=True, slots=True)
class _TorchMachine:
    constants: Mapping[str, Tensor]

    def reshape(self, x: Tensor, step: Reshape) -> Tensor:
        return x.reshape(step.shape)

    def transpose(self, x: Tensor, step: Transpose) -> Tensor:
        return x.permute(step.order)

    def product(self, x: Tensor, step: Product) -> Tensor:
        matrix = self.constants[step.matrix]
        return torch.matmul(matrix, x) if step.side == "left" else torch.matmul(x, matrix)

    def add(self, x: Tensor, step: Add) -> Tensor:
        return x + self.constants[step.constant]

    def pad(self, x: Tensor, step: Pad) -> Tensor:
        pairs = zip(reversed(step.before), reversed(step.after), strict=True)
        return F.pad(x, [n for pair in pairs for n in pair])

    def crop(self, x: Tensor, step: Crop) -> Tensor:
        for axis, start, stop in step.window:
            x = x.narrow(axis, start, stop - start)
        return x

    def join(self, parts: list[Tensor], axis: int) -> Tensor:
        return torch.cat(parts, axis)
