"""The lowerings against the patchwise reference, in both layouts; which NeoCell each takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.functional import FUNCTIONS, build, run_program
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.lowerings import legal, lower
from neonext_ascend.kernels.program import Parallel, Program, Step, Transpose
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.spec import LAYOUTS, LOWERINGS, LoweringName

GEOMETRIES = {
    "4+7 shifted": (Geometry.split(30, (4, 7), True), (28, 14)),
    "4+7 shifted, small": (Geometry.split(24, (4, 7), True), (7, 7)),
    "4+7 still, 7x7": (Geometry.split(24, (4, 7), False), (7, 7)),
    "4+7 still, 56x28": (Geometry.split(6, (4, 7), False), (56, 28)),
    "7 still, 14x21": (Geometry.split(6, (7,), False), (14, 21)),
    "down-sampling": (Geometry.downsample(6), (48, 20)),
    "down-sampling, odd": (Geometry.downsample(4), (7, 9)),
    "up-sampling": (Geometry((CellGroup(Cell(2, 4, 2, 4), 5),)), (6, 8)),
    "remainders": (Geometry.split(23, (4, 7), True), (9, 11)),
    "4+7 shifted, padded": (Geometry.split(30, (4, 7), True), (28, 56)),
    "5x3 cells, one side padded": (Geometry((CellGroup(Cell(5, 5, 3, 3), 6),)), (32, 45)),
    "3x3": (Geometry.split(12, (4, 7), False), (3, 3)),
}


def cells_of(geometry: Geometry, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    left = [
        torch.randn(g.channels, g.cell.h_out, g.cell.h_in, generator=generator, dtype=dtype) for g in geometry.groups
    ]
    right = [
        torch.randn(g.channels, g.cell.w_in, g.cell.w_out, generator=generator, dtype=dtype) for g in geometry.groups
    ]
    return left, right


def picture(geometry: Geometry, size: tuple[int, int], batch: int = 3) -> Tensor:
    return torch.randn(batch, geometry.channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


CASES = [
    pytest.param(name, geometry, size, id=f"{name}-{case}")
    for case, (geometry, size) in GEOMETRIES.items()
    for name in legal(geometry, *size)
]


@pytest.mark.parametrize(("name", "geometry", "size"), CASES)
def test_every_legal_lowering_equals_the_reference(
    name: LoweringName, geometry: Geometry, size: tuple[int, int]
) -> None:
    left, right = cells_of(geometry)
    x = picture(geometry, size)
    bias = [torch.randn(g.channels, g.cell.h_out, g.cell.w_out, dtype=torch.float64) for g in geometry.groups]
    expected = neocell_patchwise(x, left, right, geometry, bias)
    # float64: only the order of the sums differs.
    torch.testing.assert_close(FUNCTIONS[name](x, left, right, geometry, bias), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LOWERINGS)
@pytest.mark.parametrize("case", GEOMETRIES)
def test_chnw_equals_the_reference(name: LoweringName, case: str) -> None:
    geometry, size = GEOMETRIES[case]
    if name not in legal(geometry, *size, "chnw"):
        with pytest.raises(GeometryError, match=f"{name}: "):
            lower(name, geometry, *size, "chnw")
        return
    left, right = cells_of(geometry)
    x = picture(geometry, size)
    lowered = lower(name, geometry, *size, "chnw")
    constants = {key: build(matrix, left, right) for key, matrix in lowered.matrices.items()}
    y = run_program(lowered.steps, x.permute(1, 2, 0, 3).contiguous(), constants).permute(2, 0, 1, 3)
    torch.testing.assert_close(y, neocell_patchwise(x, left, right, geometry), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("geometry", "size", "names"),
    [
        (Geometry.split(96, (4, 7), True), (56, 56), {"blockdiag", "padded", "patchwise"}),
        (Geometry.split(768, (4, 7), False), (7, 7), {"blockdiag", "packed", "patchwise", "kron"}),
        (Geometry.split(7, (7,), False), (7, 7), {"blockdiag", "patchwise", "kron"}),  # 7 channels make no pairs
        (Geometry.downsample(192), (56, 56), {"blockdiag", "packed", "padded", "patchwise"}),
    ],
)
def test_what_takes_which_neocell(geometry: Geometry, size: tuple[int, int], names: set[str]) -> None:
    assert set(legal(geometry, *size)) == names


def test_packed_makes_blocks_of_sixteen() -> None:
    stage_4 = lower("packed", Geometry.split(768, (4, 7), False), 7, 7, "chnw")
    assert stage_4.matrices["left"].shape == (384, 14, 14)
    assert stage_4.matrices["right"].shape == (768, 7, 7)
    still = lower("packed", Geometry.split(96, (4,), False), 96, 96)
    assert still.matrices["left"].shape == (96, 1, 16, 16)
    assert still.matrices["right"].shape == (96, 16, 16)


def test_no_lowering_moves_an_axis() -> None:
    for geometry, size in GEOMETRIES.values():
        for layout in LAYOUTS:
            for lowered in legal(geometry, *size, layout).values():
                assert Transpose not in set(map(type, all_steps(lowered.steps)))


def all_steps(program: Program) -> Iterator[Step]:
    for step in program:
        yield step
        if isinstance(step, Parallel):
            for _, steps in step.parts:
                yield from all_steps(steps)


def test_gradients_flow_to_the_cells() -> None:
    geometry, size = GEOMETRIES["4+7 still, 7x7"]
    expected = None
    for name in legal(geometry, *size):
        left, right = cells_of(geometry)
        parameters = [w.requires_grad_() for w in (*left, *right)]
        loss = FUNCTIONS[name](picture(geometry, size), left, right, geometry, None).square().sum()
        grads = torch.autograd.grad(loss, parameters)
        expected = grads if expected is None else expected
        for got, want in zip(grads, expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
