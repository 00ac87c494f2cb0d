# mypy: disable-error-code="no-untyped-def, name-defined"
# (Triton compiles these functions; their arguments have no Python types.)
"""The fused NeoCell's kernels in Triton: Y = A X B in one pass over X, and the gradients of its cells.

A and B are never in memory. With the one-hot ``P (rows, k)`` of each row's place in its cell,

    A = P L P^T where row and column lie in the same block, 0 elsewhere,

and the gradient of L is the adjoint of that: ``dL = P^T dA P`` with dA kept where they do. A tile of the map begins
where a cell begins, so that it needs nothing but its own pixels, and no tile multiplies another's zero blocks. Small
maps share a tile, several images below one another; A is then block-diagonal over the images as well.

Constants: CELL k, PAD k rounded up for a product; SHIFT of all channels, or below 0: ``sub_group`` channels have 0,
the next as many 1; STEP_H and STEP_W pixels from one tile to the next (the whole map if that fits); TILE_H and TILE_W
pixels of a tile, IMAGES images in it; TILES_W tiles across. Programs: channel, tile, one of ``splits`` parts of the
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
SCALARS = ("batch", "channels", "first", "splits", "sub_group")

try:
    triton: Any = import_module("triton")
    tl: Any = import_module("triton.language")
except (ImportError, OSError, RuntimeError):  # this module opens without Triton; nothing in it can be launched then
    triton = tl = None


def _jit(function: Function) -> Function:
    """``triton.jit``, or the function as it is where there is no Triton."""
    return function if triton is None else triton.jit(function)


def _jit_once(function: Function) -> Function:
    """The same, compiled once for all values of its scalars: none of them makes the code better."""
    return function if triton is None else triton.jit(function, do_not_specialize=list(SCALARS))


@_jit
def _shift(c, sub_group, CELL: tl.constexpr, SHIFT: tl.constexpr):
    """Shift of channel c of a group, in pixels."""
    return tl.minimum(c // sub_group, CELL - 1) if SHIFT < 0 else c * 0 + SHIFT


@_jit
def _start(tile, shift, CELL: tl.constexpr, STEP: tl.constexpr, LENGTH: tl.constexpr):
    """First pixel of a tile: where a cell begins, before the map for the cropped first one."""
    return tile * 0 if STEP >= LENGTH else tile * STEP - (CELL - shift) % CELL


@_jit
def _blocks(start, shift, CELL: tl.constexpr, PERIOD: tl.constexpr, SIZE: tl.constexpr):
    """Block of each place of a tile ``(SIZE,)``, different for each image, which has PERIOD places."""
    place = tl.arange(0, SIZE)
    return (start + (place & (PERIOD - 1)) + CELL - shift) // CELL + (place // PERIOD) * 65536


@_jit
def _one_hot(
    start, shift, CELL: tl.constexpr, PAD: tl.constexpr, PERIOD: tl.constexpr, SIZE: tl.constexpr, dtype: tl.constexpr
):
    """P ``(SIZE, PAD)``: 1 at each place's element of its cell."""
    place = start + (tl.arange(0, SIZE) & (PERIOD - 1)) + CELL - shift
    element = place - place // CELL * CELL  # no remainder of vectors: a scalar loop on the NPU
    return tl.where(element[:, None] == tl.arange(0, PAD)[None, :], 1.0, 0.0).to(dtype)


@_jit
def _matrix(
    cells,
    c,
    start,
    shift,
    CELL: tl.constexpr,
    PAD: tl.constexpr,
    PERIOD: tl.constexpr,
    SIZE: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):
    """The tile of A or B ``(SIZE, SIZE)`` of channel c, or of its transpose."""
    row, column = tl.arange(0, PAD)[:, None], tl.arange(0, PAD)[None, :]
    cell = tl.load(cells + c * CELL * CELL + row * CELL + column, mask=(row < CELL) & (column < CELL), other=0.0)
    if TRANSPOSED:
        cell = tl.trans(cell)
    pick = _one_hot(start, shift, CELL, PAD, PERIOD, SIZE, cell.dtype)
    # Both products are exact: each sum has one term that is not zero.
    rows = tl.dot(pick, cell, input_precision="ieee").to(cell.dtype)
    full = tl.dot(rows, tl.trans(pick), input_precision="ieee")
    block = _blocks(start, shift, CELL, PERIOD, SIZE)
    return tl.where(block[:, None] == block[None, :], full, 0.0).to(cell.dtype)


@_jit
def _reduce(
    out,
    full,
    part,
    start,
    shift,
    CELL: tl.constexpr,
    PAD: tl.constexpr,
    PERIOD: tl.constexpr,
    SIZE: tl.constexpr,
):
    """Sum a gradient of A or B ``(SIZE, SIZE)`` over its blocks and write the cell's."""
    block = _blocks(start, shift, CELL, PERIOD, SIZE)
    full = tl.where(block[:, None] == block[None, :], full, 0.0)
    pick = _one_hot(start, shift, CELL, PAD, PERIOD, SIZE, tl.float32)
    rows = tl.dot(tl.trans(pick), full, input_precision="ieee")
    cell = tl.dot(rows, pick, input_precision="ieee")
    row, column = tl.arange(0, PAD)[:, None], tl.arange(0, PAD)[None, :]
    tl.store(out + part * CELL * CELL + row * CELL + column, cell, mask=(row < CELL) & (column < CELL))


@_jit
def _pixels(
    top,
    before,
    images,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    STEP_H: tl.constexpr,
    STEP_W: tl.constexpr,
    IMAGES: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
):
    """Offset of each pixel of a tile in its image, and which of them are in the map, ``(IMAGES, TILE_H, TILE_W)``."""
    image = tl.arange(0, IMAGES)[:, None, None]
    row = tl.arange(0, TILE_H)[None, :, None]
    column = tl.arange(0, TILE_W)[None, None, :]
    inside = (image < images) & (row < STEP_H) & (column < STEP_W)
    if STEP_H < HEIGHT:
        inside = inside & (row + top >= 0) & (row + top < HEIGHT)
    if STEP_W < WIDTH:
        inside = inside & (column + before >= 0) & (column + before < WIDTH)
    return (row + top) * WIDTH + (column + before), inside


@_jit_once
def neocell_kernel(
    x,
    left,
    right,
    y,
    batch,
    channels,
    first,
    splits,
    sub_group,
    CELL: tl.constexpr,
    PAD: tl.constexpr,
    SHIFT: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    STEP_H: tl.constexpr,
    STEP_W: tl.constexpr,
    TILES_W: tl.constexpr,
    IMAGES: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):
    """One channel, one tile, every splits-th set of IMAGES images of ``y = A x B``, or of ``A^T x B^T``."""
    c, tile, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    shift = _shift(c, sub_group, CELL, SHIFT)
    top = _start(tile // TILES_W, shift, CELL, STEP_H, HEIGHT)
    before = _start(tile % TILES_W, shift, CELL, STEP_W, WIDTH)
    A = _matrix(left, c, top, shift, CELL, PAD, TILE_H, IMAGES * TILE_H, TRANSPOSED)
    B = _matrix(right, c, before, shift, CELL, PAD, TILE_W, TILE_W, TRANSPOSED)
    stride = tl.arange(0, IMAGES)[:, None, None] * channels * (HEIGHT * WIDTH)
    for n in range(split * IMAGES, batch, splits * IMAGES):
        pixel, inside = _pixels(top, before, batch - n, HEIGHT, WIDTH, STEP_H, STEP_W, IMAGES, TILE_H, TILE_W)
        # 64 bits: a batch of some thousand maps is longer than 2**31 elements.
        base = (c + first + n * channels).to(tl.int64) * (HEIGHT * WIDTH)
        X = tl.load(x + base + stride + pixel, mask=inside, other=0.0).reshape(IMAGES * TILE_H, TILE_W)
        T = tl.dot(A, X, input_precision="ieee").to(X.dtype)
        Y = tl.dot(T, B, input_precision="ieee").to(X.dtype)
        tl.store(y + base + stride + pixel, Y.reshape(IMAGES, TILE_H, TILE_W), mask=inside)


@_jit_once
def neocell_cells_kernel(
    x,
    left,
    right,
    grad,
    dleft,
    dright,
    batch,
    channels,
    first,
    splits,
    sub_group,
    CELL: tl.constexpr,
    PAD: tl.constexpr,
    SHIFT: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    STEP_H: tl.constexpr,
    STEP_W: tl.constexpr,
    TILES_W: tl.constexpr,
    IMAGES: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
):
    """``dA = dY B^T X^T`` and ``dB = (A X)^T dY`` of the same part, reduced to the cells: one ``(k, k)`` a program."""
    c, tile, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    shift = _shift(c, sub_group, CELL, SHIFT)
    top = _start(tile // TILES_W, shift, CELL, STEP_H, HEIGHT)
    before = _start(tile % TILES_W, shift, CELL, STEP_W, WIDTH)
    A = _matrix(left, c, top, shift, CELL, PAD, TILE_H, IMAGES * TILE_H, False)
    Bt = _matrix(right, c, before, shift, CELL, PAD, TILE_W, TILE_W, True)
    dA = tl.zeros((IMAGES * TILE_H, IMAGES * TILE_H), tl.float32)
    dB = tl.zeros((TILE_W, TILE_W), tl.float32)
    stride = tl.arange(0, IMAGES)[:, None, None] * channels * (HEIGHT * WIDTH)
    for n in range(split * IMAGES, batch, splits * IMAGES):
        pixel, inside = _pixels(top, before, batch - n, HEIGHT, WIDTH, STEP_H, STEP_W, IMAGES, TILE_H, TILE_W)
        base = (c + first + n * channels).to(tl.int64) * (HEIGHT * WIDTH)
        X = tl.load(x + base + stride + pixel, mask=inside, other=0.0).reshape(IMAGES * TILE_H, TILE_W)
        dY = tl.load(grad + base + stride + pixel, mask=inside, other=0.0).reshape(IMAGES * TILE_H, TILE_W)
        G = tl.dot(dY, Bt, input_precision="ieee").to(X.dtype)
        dA += tl.dot(G, tl.trans(X), input_precision="ieee")
        T = tl.dot(A, X, input_precision="ieee").to(X.dtype)
        dB += tl.dot(tl.trans(T), dY, input_precision="ieee")
    part = (tile * splits + split) * tl.num_programs(0) + c
    _reduce(dleft, dA, part, top, shift, CELL, PAD, TILE_H, IMAGES * TILE_H)
    _reduce(dright, dB, part, before, shift, CELL, PAD, TILE_W, TILE_W)
