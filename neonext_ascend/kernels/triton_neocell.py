"""The launches of the fused NeoCell: which kernel with which tiles, described as data and carried out.

One launch for each group of channels, all into one tensor. On CUDA Triton times a few ways to share the work and keeps
the fastest; elsewhere the tiles of :func:`launches` are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import CellGroup, Geometry
from neonext_ascend.kernels.triton_kernels import neocell_cells_kernel, neocell_kernel, triton

Direction = Literal["forward", "backward"]
Tensors = Sequence[Tensor]

DTYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
LARGEST_CELL = 64
# Pixels of a tile, down and across. In fp32 a product has no tensor cores: smaller tiles multiply fewer zeros.
_LARGEST_TILE = {"fp16": 64, "bf16": 64, "fp32": 32}
# The least a product takes on either side.
_LEAST = 16
# Programs of one launch: several for each of about 100 processors, but few enough to build A and B seldom.
_PROGRAMS = 1024
# (programs over the default, warps, stages of the loads' pipeline) to time on CUDA.
_TUNING = ((1, 4, 2), (1, 4, 3), (1, 8, 2), (2, 4, 2), (2, 4, 3), (4, 4, 2))
_TUNING_CELLS = ((1, 8, 1), (1, 8, 2), (1, 4, 2))


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch.

    Attributes:
        name: group and result, such as ``group0_forward``.
        kernel: the Triton function.
        pointers: argument to its element type, such as ``fp16``.
        scalars: argument to its value, 32-bit integers.
        constants: constant arguments, compiled in.
        grid: programs along each axis (channels, tiles, splits of the batch).
    """

    name: str
    kernel: Any
    pointers: Mapping[str, str]
    scalars: Mapping[str, int]
    constants: Mapping[str, int]
    grid: tuple[int, ...]


def supports(geometry: Geometry) -> bool:
    """Whether the kernels have a form for these cells: square ones of at most ``LARGEST_CELL`` pixels."""
    cells = (group.cell for group in geometry.groups)
    return all(c.h_in == c.h_out == c.w_in == c.w_out and c.h_in <= LARGEST_CELL for c in cells)


def most_programs(geometry: Geometry, height: int, width: int, dtype: torch.dtype) -> int:
    """The most programs that a launch has for this map, whatever the batch."""
    constants = [_constants(group, 1, height, width, DTYPES[dtype], {}) for group in geometry.groups]
    counts = [g.channels * _tile_count(g, c) for g, c in zip(geometry.groups, constants, strict=True)]
    return max(_PROGRAMS, *counts)


def launches(
    geometry: Geometry,
    batch: int,
    height: int,
    width: int,
    dtype: str,
    direction: Direction,
    tiles: Mapping[str, int] | None = None,
) -> tuple[Launch, ...]:
    """Every launch of one NeoCell: forward one a group; backward two a group, dX and then the cells.

    Args:
        geometry: the groups, square cells.
        batch, height, width: of X, all at least 1.
        dtype: of X and the cells, ``fp16``, ``bf16`` or ``fp32``.
        direction: which pass.
        tiles: ``TILE_H``, ``TILE_W``, ``IMAGES`` (powers of two) or ``splits`` in place of the default ones.

    Raises:
        GeometryError: a cell that is not square or too large, a map too small for it, or a tile smaller than a cell.
    """
    if not supports(geometry):
        found = ", ".join(str(group.cell) for group in geometry.groups)
        raise GeometryError(f"the fused NeoCell got cells {found}; it takes square ones up to {LARGEST_CELL}")
    geometry.output_size(height, width)
    result, first = [], 0
    for g, group in enumerate(geometry.groups):
        given = dict(tiles or {})
        splits = given.pop("splits", 0)
        constants = _constants(group, batch, height, width, dtype, given)
        count, sets = _tile_count(group, constants), -(-batch // constants["IMAGES"])
        splits = splits or max(min(_PROGRAMS // (group.channels * count), sets), 1)
        scalars = {
            "batch": batch,
            "channels": geometry.channels,
            "first": first,
            "splits": splits,
            "sub_group": max(group.channels // group.cell.h_in, 1),
        }
        grid = (group.channels, count, splits)
        plain = dict.fromkeys(("x", "left", "right", "y"), dtype)
        if direction == "forward":
            result.append(
                Launch(f"group{g}_forward", neocell_kernel, plain, scalars, constants | {"TRANSPOSED": 0}, grid)
            )
        else:
            cells = dict.fromkeys(("x", "left", "right", "grad"), dtype) | {"dleft": "fp32", "dright": "fp32"}
            result += [
                Launch(f"group{g}_dx", neocell_kernel, plain, scalars, constants | {"TRANSPOSED": 1}, grid),
                Launch(f"group{g}_cells", neocell_cells_kernel, cells, scalars, constants, grid),
            ]
        first += group.channels
    return tuple(result)


def neocell_forward(x: Tensor, left: Tensors, right: Tensors, geometry: Geometry) -> Tensor:
    """``Y (N, C, H, W)`` of ``X (N, C, H, W)``; cells ``(C_g, k, k)`` for each group, of the same dtype and device."""
    x = x.contiguous()
    y = torch.empty_like(x)
    for launch, L, R in zip(_launches_for(x.shape, x.dtype, geometry, "forward"), left, right, strict=True):
        _run(launch, {"x": x, "left": L.contiguous(), "right": R.contiguous(), "y": y})
    return y


def neocell_backward(
    grad: Tensor, x: Tensor, left: Tensors, right: Tensors, geometry: Geometry
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """``dX (N, C, H, W)`` and ``dL``, ``dR (C_g, k, k)`` for each group, from ``dY`` and what the forward pass took.

    The cells' gradients are summed in fp32 in a fixed order: the same input gives the same bits.
    """
    x, grad = x.contiguous(), grad.contiguous()
    dx, dleft, dright = torch.empty_like(x), [], []
    pairs = iter(_launches_for(x.shape, x.dtype, geometry, "backward"))
    for to_x, to_cells, L, R in zip(pairs, pairs, left, right, strict=True):
        cells = {"left": L.contiguous(), "right": R.contiguous()}
        _run(to_x, {"x": grad, "y": dx, **cells})
        parts = to_cells.grid[1] * to_cells.grid[2]
        sums = {name: x.new_empty((parts, *L.shape), dtype=torch.float32) for name in ("dleft", "dright")}
        _run(to_cells, {"x": x, "grad": grad, **cells, **sums})
        dleft.append(sums["dleft"].sum(0).to(L.dtype))
        dright.append(sums["dright"].sum(0).to(R.dtype))
    return dx, dleft, dright


@lru_cache(maxsize=256)
def _launches_for(shape: torch.Size, dtype: torch.dtype, geometry: Geometry, way: Direction) -> tuple[Launch, ...]:
    """The same for every step of a training: worked out once."""
    return launches(geometry, shape[0], shape[2], shape[3], DTYPES[dtype], way)


def _constants(
    group: CellGroup, batch: int, height: int, width: int, dtype: str, tiles: dict[str, int]
) -> dict[str, int]:
    """The constants of one group's launches."""
    size = group.cell.h_in
    largest = max(_LARGEST_TILE[dtype], _power(size))
    tile_h = tiles.pop("TILE_H", min(_power(height), largest))
    tile_w = tiles.pop("TILE_W", max(min(_power(width), largest), _LEAST))
    # Below one another in a tile: as many images as make it as high as it may be, but not more than there are.
    images = tiles.pop("IMAGES", max(min(largest // tile_h, _power(batch)), _LEAST // tile_h, 1))
    if tiles:
        raise GeometryError(f"unknown tile constants {sorted(tiles)}; there are TILE_H, TILE_W, IMAGES and splits")
    constants = {
        "CELL": size,
        "PAD": max(_power(size), _LEAST),
        "SHIFT": _shift(group),
        "HEIGHT": height,
        "WIDTH": width,
        "STEP_H": _step(tile_h, size, height),
        "STEP_W": _step(tile_w, size, width),
        "IMAGES": images,
        "TILE_H": tile_h,
        "TILE_W": tile_w,
    }
    constants["TILES_W"] = _along(constants["STEP_W"], group, width)
    return constants


def _shift(group: CellGroup) -> int:
    """The one shift of all channels of a group, or -1 where each sub-group has its own, as in ``CellGroup.shifts``."""
    if not group.shift:
        return 0
    return -1 if group.channels >= group.cell.h_in else group.cell.h_in - 1


def _step(tile: int, size: int, length: int) -> int:
    """Pixels from one tile to the next: the whole map, or as many whole cells as a tile holds."""
    if tile >= length:
        return length
    if tile < size:
        raise GeometryError(f"a tile of {tile} pixels cannot hold a cell of {size}; give it at least {size}")
    return tile // size * size


def _along(step: int, group: CellGroup, length: int) -> int:
    """Tiles along one axis; with a shift the first one may begin up to k - 1 pixels before the map."""
    before = group.cell.h_in - 1 if group.shift and step < length else 0
    return -(-(length + before) // step)


def _tile_count(group: CellGroup, constants: Mapping[str, int]) -> int:
    return constants["TILES_W"] * _along(constants["STEP_H"], group, constants["HEIGHT"])


def _power(length: int) -> int:
    """The least power of two that is not below ``length``."""
    return 1 << (length - 1).bit_length()


def _run(launch: Launch, tensors: Mapping[str, Tensor]) -> None:
    """Carry out one launch on the device of its tensors."""
    kernel, scalars, grid, device = launch.kernel, dict(launch.scalars), launch.grid, tensors["x"].device
    with _current(device):
        if device.type == "cuda":
            # The tuned kernel brings its own number of splits.
            kernel = _tuned(kernel, scalars.pop("splits"), tuple(launch.constants.items()))
            kernel[lambda chosen: (*grid[:2], chosen["splits"])](**tensors, **scalars, **launch.constants)
        else:
            kernel[grid](**tensors, **scalars, **launch.constants)


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a device the current one: Triton launches there."""
    if device.type == "cpu":
        return nullcontext()
    return torch.get_device_module(device).device(device)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _tuned(kernel: Any, splits: int, constants: tuple[tuple[str, int], ...]) -> Any:
    """The kernel of one shape with the ways to run it that Triton times at its first call for each dtype."""
    del constants  # they only tell one shape from another
    # How the batch is split decides how many partial sums of the cells there are: there it stays as it is.
    table = _TUNING_CELLS if kernel is neocell_cells_kernel else _TUNING
    ways = [
        triton.Config({"splits": splits * more}, num_warps=warps, num_stages=stages) for more, warps, stages in table
    ]
    return triton.autotune(configs=ways, key=[])(kernel)
