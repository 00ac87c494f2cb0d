"""Padded lowering: A and B with rows and columns of zeros, so that the chip takes all rows as they lie.

Before a product the 910B's tiling sends operands whose rows are 56, 28, 14 or 7 fp16 elements long through global
memory once more (``nd2nz``); rows of 64 and 32 it does not. Only constants are padded for free: X is padded in front
and Y cropped behind, until :mod:`passes.keep_padding` lets the map stay padded from one NeoCell to the next. The zeros
of A and B erase whatever has come to stand in the padding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Geometry, Side
from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import Index, Lowered, Matrix, Product, Program
from neonext_ascend.spec import Layout

# Rows in fp16 elements that need no such pass, of either operand (BatchMatMulV3's host tiling in hicann/ops-nn e5c3fa9,
# asked for 480 shapes on 910B3 and 910B4); 7, 12, 14, 24, 28, 56 and 224 need it, others were not asked.
ROWS = (32, 48, 64, 96, 112, 128, 192, 384, 448, 768, 896, 1536, 1792, 3072)
MOST_AREA = 2  # times the map: 14 x 14 in 32 x 32 would be five times the work of all layers behind it


def padded_size(height: int, width: int) -> tuple[int, int]:
    """The map's size with rows that need no pass; its own where that is more than :data:`MOST_AREA` times the map."""
    high, wide = (min((row for row in ROWS if row >= n), default=n) for n in (height, width))
    return (high, wide) if high * wide <= MOST_AREA * height * width else (height, width)


def padded(geometry: Geometry, height: int, width: int, layout: Layout) -> Lowered:
    """``(A X) B`` with A ``(C, H' + p', H + p)`` and B ``(C, W + q, W' + q')``.

    Raises:
        GeometryError: no size here is padded.
    """
    out = geometry.output_size(height, width)
    (high, wide), (high_out, wide_out) = padded_size(height, width), padded_size(*out)
    if (high, wide, high_out, wide_out) == (height, width, *out):
        raise GeometryError(
            f"padded: a {height}x{width} map stays as it is; its rows need no zeros, or so many that the map would be "
            f"more than {MOST_AREA} times as large"
        )
    maps, left, right = Maps(geometry.channels, layout), Product("left", "left"), Product("right", "right")
    steps: Program = (left, right)
    if layout == "chnw":
        steps = (maps.rows(high, wide), left, maps.columns(high_out, wide), right, maps.whole(high_out, wide_out))
    if (high, wide) != (height, width):
        steps = (maps.padded(high - height, wide - width), *steps)
    if (high_out, wide_out) != out:
        steps = (*steps, maps.cropped(*out))

    def index(side: Side, rows: int, columns: int) -> Callable[[], Index]:
        return partial(_zeros_behind, partial(geometry.index_map, side, height, width), rows, columns)

    matrices = {
        "left": Matrix((geometry.channels, high_out, high), left=index("left", high_out, high)),
        "right": Matrix((geometry.channels, wide, wide_out), right=index("right", wide, wide_out)),
    }
    return Lowered("padded", layout, steps, matrices)


def _zeros_behind(index: Callable[[], Index], rows: int, columns: int) -> Index:
    """A or B with rows and columns of zeros, which index 0 stands for."""
    held = index()
    return np.pad(held, ((0, 0), (0, rows - held.shape[1]), (0, columns - held.shape[2])))
