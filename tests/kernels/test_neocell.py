"""NeoCell against the authors' values, a third computation written differently, and its own derivatives."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag, tiled_bias
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.models.neocell import NeoCell, neo_init_
from tests import DATA
from tests.support.networks import noise, relative_error

GOLDEN = np.load(DATA / "neocell.npz")
CASES = sorted({key.split(".")[0] for key in GOLDEN.files})
Form = Callable[[Tensor, list[Tensor], list[Tensor], Geometry, list[Tensor] | None], Tensor]


def blockdiag(
    x: Tensor, left: list[Tensor], right: list[Tensor], geometry: Geometry, bias: list[Tensor] | None = None
) -> Tensor:
    height, width = x.shape[-2:]
    A = block_diagonal(left, geometry, "left", height, width)
    B = block_diagonal(right, geometry, "right", height, width)
    return neocell_blockdiag(x, A, B, None if bias is None else tiled_bias(bias, geometry, height, width))


def golden_group(spec: dict[str, Any]) -> CellGroup:
    size = spec.get("kernel")
    cell = Cell.square(size) if size else Cell(spec["h_in"], spec["h_out"], spec["w_in"], spec["w_out"])
    return CellGroup(cell, spec["channels"], bool(spec["shift"]))


@pytest.mark.parametrize("form", [neocell_patchwise, blockdiag])
@pytest.mark.parametrize("case", CASES)
def test_a_cell_gives_what_the_authors_code_gave(case: str, form: Form) -> None:
    specs = json.loads(str(GOLDEN[f"{case}.spec"]))
    left = [torch.from_numpy(GOLDEN[f"{case}.weight_a.{g}"]) for g in range(len(specs))]
    right = [torch.from_numpy(GOLDEN[f"{case}.weight_b.{g}"]) for g in range(len(specs))]
    geometry = Geometry(tuple(golden_group(spec) for spec in specs))
    y = form(torch.from_numpy(GOLDEN[f"{case}.x"]), left, right, geometry, None)
    # fp32 sums of at most 28 terms in any order: some units of 1.2e-7.
    assert relative_error(y, GOLDEN[f"{case}.y"]) < 1e-6


def test_all_nine_golden_cells_are_there() -> None:
    assert len(CASES) == 9


@st.composite
def groups_and_maps(draw: st.DrawFn) -> tuple[Geometry, int, int]:
    """One to three groups with a common scale down and across, and a map that they accept."""
    square = draw(st.booleans())
    ratio = st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2), (4, 7), (5, 3), (2, 3)])
    (h_in, h_out), (w_in, w_out) = ((1, 1), (1, 1)) if square else (draw(ratio), draw(ratio))
    groups = []
    for _ in range(draw(st.integers(1, 3))):
        down, across = draw(st.integers(1, 7 if square else 2)), draw(st.integers(1, 7 if square else 2))
        cell = Cell(down * h_in, down * h_out, across * w_in, across * w_out)
        # up to 9 channels: often fewer than the shifts of a cell of 7
        groups.append(CellGroup(cell, draw(st.integers(1, 9)), cell.keeps_size and draw(st.booleans())))
    least_h = max(-(-h_in // h_out), *(g.cell.h_in - 1 for g in groups if g.shift), 1)
    least_w = max(-(-w_in // w_out), *(g.cell.w_in - 1 for g in groups if g.shift), 1)
    height, width = draw(st.integers(least_h, least_h + 10)), draw(st.integers(least_w, least_w + 10))
    return Geometry(tuple(groups)), height, width


def whole_numbers(generator: torch.Generator, *shape: int) -> Tensor:
    """Small whole numbers in float64: sums and products are exact, so that results can be compared exactly."""
    return torch.randint(-4, 5, shape, generator=generator).double()


def draw_tensors(
    geometry: Geometry, height: int, width: int, seed: int
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    cells = [(g.channels, g.cell) for g in geometry.groups]
    x = whole_numbers(generator, 2, geometry.channels, height, width)
    left = [whole_numbers(generator, n, c.h_out, c.h_in) for n, c in cells]
    right = [whole_numbers(generator, n, c.w_in, c.w_out) for n, c in cells]
    bias = [whole_numbers(generator, n, c.h_out, c.w_out) for n, c in cells]
    return x, left, right, bias


def laid_out(blocks: int, size: int, length: int, shift: int) -> list[tuple[int, int, int]]:
    """(block, place in the cell, place in the map) along one axis, blocks laid one after another from -1."""
    places = [(b, e, shift + b * size + e) for b in range(-1, blocks) for e in range(size)]
    return [(b, e, place) for b, e, place in places if 0 <= place < length]


def by_loops(
    x: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    shifts: tuple[int, int],
    out: tuple[int, int],
) -> NDArray[np.float64]:
    """One channel ``(H, W)``: each pixel of each patch, times L, times R, added up; no matrix is ever built."""
    (h_out, h_in), (w_in, w_out), count = left.shape, right.shape, max(*x.shape, *out)
    y = np.zeros(out)
    for block, i, row in laid_out(count, h_out, out[0], shifts[0]):
        for across, j, column in laid_out(count, w_out, out[1], shifts[1]):
            for p in range(h_in):
                for q in range(w_in):
                    r, c = shifts[0] + block * h_in + p, shifts[1] + across * w_in + q
                    if 0 <= r < x.shape[0] and 0 <= c < x.shape[1]:
                        y[row, column] += left[i, p] * x[r, c] * right[q, j]
    return y


@given(groups_and_maps(), st.integers(0, 2**32 - 1))
def test_patchwise_and_block_diagonal_agree_to_the_last_bit(case: tuple[Geometry, int, int], seed: int) -> None:
    geometry, height, width = case
    x, left, right, bias = draw_tensors(geometry, height, width, seed)
    y = blockdiag(x, left, right, geometry, bias)
    assert y.shape == (2, geometry.channels, *geometry.output_size(height, width))
    assert torch.equal(y, neocell_patchwise(x, left, right, geometry, bias))
    assert torch.equal(blockdiag(x, left, right, geometry), neocell_patchwise(x, left, right, geometry))


@given(groups_and_maps(), st.integers(0, 2**32 - 1))
def test_both_forms_agree_with_plain_loops_over_pixels(case: tuple[Geometry, int, int], seed: int) -> None:
    geometry, height, width = case
    x, left, right, bias = draw_tensors(geometry, height, width, seed)
    out = geometry.output_size(height, width)
    y, first = blockdiag(x, left, right, geometry, bias), 0
    for g, group in enumerate(geometry.groups):
        down, across = group.shifts("left").tolist(), group.shifts("right").tolist()
        for n in sorted({0, group.channels - 1}):  # the first and the last channel: the smallest and largest shift
            L, R = left[g][n].numpy(), right[g][n].numpy()
            want = by_loops(x[0, first + n].numpy(), L, R, (down[n], across[n]), out)
            for _, i, row in laid_out(max(out), group.cell.h_out, out[0], down[n]):
                for _, j, column in laid_out(max(out), group.cell.w_out, out[1], across[n]):
                    want[row, column] += float(bias[g][n, i, j])
            np.testing.assert_array_equal(y[0, first + n].numpy(), want)
        first += group.channels


@given(groups_and_maps(), st.integers(0, 2**32 - 1))
def test_both_forms_have_the_same_gradients(case: tuple[Geometry, int, int], seed: int) -> None:
    geometry, height, width = case
    x, left, right, bias = draw_tensors(geometry, height, width, seed)
    inputs = [t.requires_grad_() for t in (x, *left, *right, *bias)]
    direction = whole_numbers(
        torch.Generator().manual_seed(seed), 2, geometry.channels, *geometry.output_size(height, width)
    )
    one = torch.autograd.grad(blockdiag(x, left, right, geometry, bias), inputs, direction)
    two = torch.autograd.grad(neocell_patchwise(x, left, right, geometry, bias), inputs, direction)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("form", [neocell_patchwise, blockdiag])
@pytest.mark.parametrize(
    ("geometry", "size"),
    [(Geometry.split(5, (2, 3), shift=True), (4, 5)), (Geometry((CellGroup(Cell(3, 2, 2, 1), 2),)), (5, 5))],
)
def test_gradients_are_the_slopes_of_the_function(form: Form, geometry: Geometry, size: tuple[int, int]) -> None:
    x, left, right, bias = draw_tensors(geometry, *size, seed=0)
    n = len(left)

    def function(x: Tensor, *weights: Tensor) -> Tensor:
        return form(x, list(weights[:n]), list(weights[n : 2 * n]), geometry, list(weights[2 * n :]))

    inputs = [t.requires_grad_() for t in (x, *left, *right, *bias)]
    # Linear in each single number: the difference quotient is exact for a step of any length, 1/8 included.
    assert torch.autograd.gradcheck(function, inputs, eps=0.125, atol=1e-12, rtol=0)


def test_the_layer_computes_what_its_matrices_say() -> None:
    cell = NeoCell(Geometry.split(9, (4, 7), shift=True), bias=True)
    assert cell.bias is not None
    with torch.no_grad():
        for bias in cell.bias:
            bias.normal_(generator=torch.Generator().manual_seed(0))
    x = noise(2, 9, 10, 13)
    want = neocell_patchwise(x, list(cell.weight_a), list(cell.weight_b), cell.geometry, list(cell.bias))
    assert relative_error(cell(x).detach(), want.detach()) < 1e-6
    assert NeoCell(Geometry.downsample(4)).full_bias(8, 8) is None


@pytest.mark.parametrize(("size", "correlation"), [(4, 1 / (1 + 1 / 4)), (7, 1 / (1 + 1 / 7))])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fresh_square_cell_keeps_the_correlation_that_neoinit_promises(
    size: int, correlation: float, seed: int
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cell = NeoCell(Geometry((CellGroup(Cell.square(size), 1024),)))
        x = torch.randn(4, 1024, 2 * size, 2 * size)
    y = cell(x).detach()
    # Over seeds this scatters by 0.002 (size 4) and 0.001 (size 7); without the identity it is 0.00.
    assert float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) == pytest.approx(correlation, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "mean"),
    [
        ((3, 3), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ((1, 2), [[0.5, 0.5]]),
        ((2, 1), [[0.5], [0.5]]),
        ((2, 3), [[0.5, 0.5, 0], [0, 0, 1]]),  # step round(3 / 2) = 2: the last run is what is left
        ((5, 2), [[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5], [0, 0]]),  # step round(5 / 2) = 2
    ],
)
def test_neoinit_is_the_skewed_identity_and_noise_of_the_papers_width(
    shape: tuple[int, int], mean: list[list[float]]
) -> None:
    channels, std = 40_000, (shape[0] * shape[1]) ** -0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weight = neo_init_(torch.empty(channels, *shape))
    # Six standard deviations of a mean, and of a standard deviation, over so many channels.
    assert (weight.mean(0) - torch.tensor(mean)).abs().max() < 6 * std / channels**0.5
    assert (weight.std(0) / std - 1).abs().max() < 6 / (2 * channels) ** 0.5


@given(st.integers(1, 9), st.integers(1, 9))
def test_neoinit_is_finite_for_every_shape(rows: int, columns: int) -> None:
    assert torch.isfinite(neo_init_(torch.empty(1, rows, columns))).all()


def test_tracing_with_fake_tensors_leaves_nothing_behind() -> None:
    cell = NeoCell(Geometry.split(6, (3,), shift=True))
    x = torch.randn(1, 6, 9, 9)
    with torch.no_grad():
        torch.export.export(cell, (x,))
    assert type(cell(x)) is torch.Tensor
