"""The fused NeoCell's operators on the CPU: the same numbers as the reference, and what PyTorch asks of an operator.

The Triton kernels themselves are run by ``tests/vendor_compiler/interpreter.py``; here they are described, not run.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.fused import available, neocell_backward_op, neocell_fused, neocell_op
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.kernels.triton_neocell import Launch, launches, supports
from tests.support.networks import relative_error

GEOMETRIES = {
    "4 and 7 shifted": Geometry((CellGroup(Cell.square(4), 5, True), CellGroup(Cell.square(7), 9, True))),
    "fewer channels than shifts": Geometry((CellGroup(Cell.square(5), 2, True), CellGroup(Cell.square(3), 4, True))),
    "no shift": Geometry((CellGroup(Cell.square(5), 2), CellGroup(Cell.square(3), 3))),
    "one pixel": Geometry((CellGroup(Cell.square(1), 2, True),)),
}
MAPS = [(7, 7), (12, 12), (8, 13)]


def draw(geometry: Geometry, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(height * 100 + width)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    cells = [(group.channels, group.cell) for group in geometry.groups]
    left = [noise(n, c.h_out, c.h_in) for n, c in cells]
    right = [noise(n, c.w_in, c.w_out) for n, c in cells]
    return noise(2, geometry.channels, height, width), left, right


def arguments(geometry: Geometry, dtype: torch.dtype = torch.float64, height: int = 8, width: int = 13) -> Any:
    groups = geometry.groups
    cells = [g.cell.h_in for g in groups], [g.channels for g in groups], [g.shift for g in groups]
    return (*draw(geometry, height, width, dtype), *cells)


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_values_and_gradients_are_those_of_the_reference(geometry: Geometry, size: tuple[int, int]) -> None:
    x, left, right = draw(geometry, *size, torch.float64)
    inputs = [x, *left, *right]
    y, expected = neocell_fused(x, left, right, geometry), neocell_patchwise(x, left, right, geometry)
    assert relative_error(y.detach(), expected.detach().numpy()) < 1e-14
    grad = torch.randn_like(y)
    found, wanted = torch.autograd.grad(y, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    for mine, other in zip(found, wanted, strict=True):
        assert relative_error(mine, other.numpy()) < 1e-14


@given(st.data())
def test_any_square_cells_on_any_map(data: st.DataObject) -> None:
    group = st.builds(CellGroup, st.integers(1, 8).map(Cell.square), st.integers(1, 9), st.booleans())
    geometry = Geometry(tuple(data.draw(st.lists(group, min_size=1, max_size=3))))
    x, left, right = draw(geometry, data.draw(st.integers(7, 20)), data.draw(st.integers(7, 20)), torch.float64)
    y, expected = neocell_fused(x, left, right, geometry), neocell_patchwise(x, left, right, geometry)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    found, wanted = (torch.autograd.grad(z.square().sum(), [x, *left, *right]) for z in (y, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shift", [False, True])
def test_the_derivatives_are_those_of_finite_differences(shift: bool) -> None:
    # few channels: finite differences take two evaluations for each element
    geometry = Geometry((CellGroup(Cell.square(4), 5, shift), CellGroup(Cell.square(3), 1, shift)))
    x, left, right = draw(geometry, 5, 6, torch.float64)
    x, count = x[:1].detach().requires_grad_(), len(left)

    def flat(*tensors: Tensor) -> Tensor:
        return neocell_fused(tensors[0], tensors[1 : count + 1], tensors[count + 1 :], geometry)

    assert torch.autograd.gradcheck(flat, (x, *left, *right))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_both_operators_are_registered_as_pytorch_wants_them(dtype: torch.dtype) -> None:
    geometry = GEOMETRIES["4 and 7 shifted"]
    forward = arguments(geometry, dtype)
    x, left, right, *rest = forward
    torch.library.opcheck(neocell_op, forward)
    plain = (x.detach(), [c.detach() for c in left], [c.detach() for c in right], *rest)
    torch.library.opcheck(neocell_backward_op, (torch.ones_like(x), *plain))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_break_and_gives_what_eager_gives(dynamic: bool) -> None:
    geometry = GEOMETRIES["4 and 7 shifted"]
    x, left, right = draw(geometry, 12, 14, torch.float32)
    inputs = [x, *left, *right]

    def step(x: Tensor, left: list[Tensor], right: list[Tensor]) -> Tensor:
        # As a layer asks before it chooses a form: that must not break the graph either.
        scale = 3.0 if available(x, geometry) else 2.0
        # Exact in every form; the derivative of one such as silu is taken apart by torch 2.8, and rounds otherwise.
        return torch.relu(neocell_fused(x * scale, left, right, geometry))

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    eager_y, y = step(x, left, right), compiled(x, left, right)
    assert torch.equal(eager_y, y)
    grad = torch.randn_like(y)
    wanted, found = torch.autograd.grad(eager_y, inputs, grad), torch.autograd.grad(y, inputs, grad)
    for mine, other in zip(found, wanted, strict=True):
        assert torch.equal(mine, other)


def test_fake_tensors_give_shapes_strides_and_dtypes_without_computing() -> None:
    x, left, right, *rest = arguments(GEOMETRIES["no shift"], torch.float16)
    x = x.transpose(2, 3)
    meta = [x.to("meta"), [c.to("meta") for c in left], [c.to("meta") for c in right]]
    y = neocell_op(*meta, *rest)
    grads = neocell_backward_op(torch.empty_like(x, device="meta"), *meta, *rest)
    real = [neocell_op(x, left, right, *rest), *neocell_backward_op(torch.ones_like(x), x, left, right, *rest)]
    described = [(t.shape, t.stride(), t.dtype) for t in (y, *grads)]
    assert described == [(t.shape, t.stride(), t.dtype) for t in real]


@pytest.mark.parametrize("layout", ["channels last", "a slice", "turned", "expanded"])
def test_a_map_that_is_not_contiguous(layout: str) -> None:
    geometry = GEOMETRIES["no shift"]
    x, left, right = draw(geometry, 10, 10, torch.float64)
    odd = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "a slice": torch.cat([x, x], dim=1)[:, : geometry.channels],
        "turned": x.transpose(2, 3),
        "expanded": x[:1].expand_as(x),
    }[layout].detach()
    assert not odd.is_contiguous()
    odd.requires_grad_()
    y, expected = neocell_fused(odd, left, right, geometry), neocell_patchwise(odd, left, right, geometry)
    assert y.is_contiguous()
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    # The gradient of a sum comes in expanded, not contiguous either.
    found, wanted = (torch.autograd.grad(z.sum(), [odd, *left, *right]) for z in (y, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_cells_that_change_the_size_are_multiplied_out() -> None:
    geometry = Geometry.downsample(3)
    x, left, right = draw(geometry, 8, 10, torch.float64)
    y, expected = neocell_fused(x, left, right, geometry), neocell_patchwise(x, left, right, geometry)
    assert y.shape == (2, 3, 4, 5)
    found, wanted = (torch.autograd.grad(z.square().sum(), [x, *left, *right]) for z in (y, expected))
    torch.testing.assert_close((y, *found), (expected, *wanted), rtol=1e-12, atol=1e-12)


def test_autocast_takes_everything_in_its_dtype_and_gradients_come_back_in_the_parameters() -> None:
    geometry = GEOMETRIES["no shift"]
    x, left, right = draw(geometry, 8, 8, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = neocell_fused(x, left, right, geometry)
        exact = neocell_fused(x.double(), [c.double() for c in left], [c.double() for c in right], geometry)
    assert (y.dtype, exact.dtype) == (torch.bfloat16, torch.float64)
    # bfloat16 rounds at 2**-9, twice in a product of two
    assert relative_error(y.detach().double(), exact.detach().numpy()) < 2e-2
    gradients = torch.autograd.grad(y.float().sum(), [x, *left, *right])
    assert {g.dtype for g in gradients} == {torch.float32}


def test_the_kernel_is_not_claimed_where_it_cannot_run() -> None:
    assert not available(torch.zeros(1, 5, 8, 8), GEOMETRIES["no shift"])
    assert not available(torch.zeros(1, 5, 8, 8, device="meta"), GEOMETRIES["no shift"])
    assert supports(GEOMETRIES["no shift"])
    assert not supports(Geometry.downsample(4))
    assert not supports(Geometry((CellGroup(Cell.square(65), 1),)))


REFUSED: dict[str, tuple[Any, str]] = {
    "three axes": (lambda x, left, right: (x[0], left, right), r"X \(5, 8, 8\); expected \(N, 5, H, W\)"),
    "channels": (lambda x, left, right: (x[:, :4], left, right), r"X \(2, 4, 8, 8\); expected \(N, 5, H, W\)"),
    "a group too few": (lambda x, left, right: (x, left[:1], right), r"L \[\(2, 5, 5\)\]; its groups need"),
    "another size": (lambda x, left, right: (x, left, right[::-1]), r"R \[\(3, 3, 3\), \(2, 5, 5\)\]; its groups need"),
    "another dtype": (
        lambda x, left, right: (x.half(), left, right),
        "X as torch.float16 on cpu and L as torch.float32",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), REFUSED.values(), ids=REFUSED)
def test_tensors_that_do_not_fit_are_refused(spoil: Any, words: str) -> None:
    geometry = GEOMETRIES["no shift"]
    x, left, right = spoil(*draw(geometry, 8, 8, torch.float32))
    with pytest.raises(GeometryError, match=words):
        neocell_fused(x, left, right, geometry)


def test_a_map_too_small_for_a_shift_is_refused() -> None:
    geometry = GEOMETRIES["4 and 7 shifted"]
    with pytest.raises(GeometryError, match="5x9 map is too small"):
        neocell_fused(*draw(geometry, 5, 9, torch.float32), geometry)


def pixels_of(launch: Launch, shift: int) -> tuple[list[range], list[range]]:
    """Rows and columns that the tiles of a channel with this shift write, as the kernel reckons them."""
    c = launch.constants
    tiles_w = c["TILES_W"]
    tiles_h = launch.grid[1] // tiles_w

    def along(count: int, step: int, length: int) -> list[range]:
        before = 0 if step >= length else -shift % c["CELL"]
        return [range(max(t * step - before, 0), min((t + 1) * step - before, length)) for t in range(count)]

    return along(tiles_h, c["STEP_H"], c["HEIGHT"]), along(tiles_w, c["STEP_W"], c["WIDTH"])


def shifts_of(launch: Launch) -> list[int]:
    """The shift of each channel, as the kernel reckons it."""
    fixed, cell = launch.constants["SHIFT"], launch.constants["CELL"]
    return [min(c // launch.scalars["sub_group"], cell - 1) if fixed < 0 else fixed for c in range(launch.grid[0])]


@pytest.mark.parametrize("channels", [7, 8, 6, 1, 29])
@pytest.mark.parametrize("shift", [True, False])
def test_the_launches_shift_each_channel_as_the_geometry_does(channels: int, shift: bool) -> None:
    group = CellGroup(Cell.square(7), channels, shift)
    launch = launches(Geometry((group,)), 1, 14, 14, "fp16", "forward")[0]
    assert shifts_of(launch) == group.shifts("left").tolist()


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["fp16", "fp32", "bf16"])
@pytest.mark.parametrize("size", [(56, 56), (28, 28), (14, 14), (7, 7), (96, 96), (48, 24), (12, 130), (257, 9)])
def test_the_launches_write_every_pixel_of_every_channel_once(
    size: tuple[int, int], dtype: str, direction: Any
) -> None:
    geometry = Geometry.split(22, (4, 7), shift=True)
    found = launches(geometry, 5, *size, dtype, direction)
    assert len(found) == len(geometry.groups) * (1 if direction == "forward" else 2)
    for launch in found:
        group = geometry.groups[int(launch.name[5])]
        assert launch.grid[0] == group.channels
        assert launch.scalars["channels"] == 22
        assert launch.scalars["first"] == (0 if group is geometry.groups[0] else 11)
        assert shifts_of(launch) == group.shifts("left").tolist()
        for shift in set(group.shifts("left").tolist()):
            rows, columns = pixels_of(launch, shift)
            assert sorted(r for tile in rows for r in tile) == list(range(size[0]))
            assert sorted(w for tile in columns for w in tile) == list(range(size[1]))
        c = launch.constants
        # A product takes at least 16 on each side, and a tile is a power of two.
        assert c["IMAGES"] * c["TILE_H"] >= 16 <= c["TILE_W"]
        assert all(math.log2(c[name]).is_integer() for name in ("IMAGES", "TILE_H", "TILE_W", "PAD"))
        assert c["STEP_H"] <= c["TILE_H"]
        assert c["STEP_W"] <= c["TILE_W"]
        assert launch.grid[2] == launch.scalars["splits"] <= 5


def test_large_batches_are_shared_by_programs_and_small_maps_by_tiles() -> None:
    forward = {
        size: launches(Geometry.split(96, (4,), shift=True), 128, size, size, "fp16", "forward")[0] for size in (56, 7)
    }
    assert forward[56].constants["IMAGES"] == 1
    assert forward[7].constants["IMAGES"] == 8
    assert forward[56].grid == (96, 1, 10)


def test_tiles_may_be_given_and_wrong_ones_are_refused() -> None:
    geometry = GEOMETRIES["4 and 7 shifted"]
    launch = launches(geometry, 1, 56, 56, "fp16", "forward", {"TILE_H": 1024, "TILE_W": 1024, "splits": 3})[0]
    assert (launch.constants["TILE_H"], launch.constants["TILE_W"], launch.grid) == (1024, 1024, (5, 1, 3))
    for tiles, words in (({"TILE_H": 4}, "tile of 4 pixels cannot hold a cell of 7"), ({"BLOCK": 4}, r"\['BLOCK'\]")):
        with pytest.raises(GeometryError, match=words):
            launches(geometry, 1, 56, 56, "fp16", "forward", tiles)
    with pytest.raises(GeometryError, match="takes square ones up to 64"):
        launches(Geometry.downsample(4), 1, 8, 8, "fp16", "forward")
    with pytest.raises(FrozenInstanceError):
        launch.name = "another"  # type: ignore[misc]


def test_everything_opens_without_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch; from neonext_ascend.kernels import fused, triton_kernels\n"
        "from neonext_ascend.kernels.geometry import Geometry\n"
        "g = Geometry.split(2, (1,), False)\n"
        "assert triton_kernels.triton is None and not fused.available(torch.ones(1, 2, 3, 3), g)\n"
        "assert fused.neocell_fused(torch.ones(1, 2, 3, 3), [torch.ones(2, 1, 1)], [torch.ones(2, 1, 1)], g).all()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
