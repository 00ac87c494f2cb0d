"""Packed lowering: blocks that fill a cube unit's 16 x 16 x 16, of several channels or of a few patches.

- Channels: where ``p`` maps together have at most 16 rows, their A stand along one diagonal and their rows follow each
  other: ``[A_1 0; 0 A_2] [X_1; X_2]``. In memory they already do.
- Patches: where nothing shifts, A repeats itself every ``lcm`` of the cells' heights. A block of ``P`` rows is then
  applied to every ``P`` rows of the map, and the zeros outside are never multiplied. B likewise.
"""

from __future__ import annotations

from functools import partial
from math import lcm

import numpy as np

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Geometry, Side
from neonext_ascend.kernels.lower_blockdiag import whole_matrix
from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import CUBE, Index, Lowered, Matrix, Product, filled
from neonext_ascend.spec import Layout


def packed(geometry: Geometry, height: int, width: int, layout: Layout) -> Lowered:
    """``(A X) B`` in fewer, fuller blocks.

    Raises:
        GeometryError: there is nothing to pack.
    """
    channels, (h_out, w_out) = geometry.channels, geometry.output_size(height, width)
    maps = Maps(channels, layout)
    down, across = _period(geometry, "left", height, width), _period(geometry, "right", height, width)
    together = 1 if down else _together(channels, max(height, h_out))
    if together == 1 and not down and not across:
        raise GeometryError(
            f"packed: nothing to pack on a {height}x{width} map of {channels} channels; it needs maps of at most "
            f"{CUBE // 2} rows, or cells without shift that fit a shorter block again and again"
        )
    if down:
        enter, left = maps.rows(height // down, down, width), _patches(geometry, "left", down, width)
    elif together > 1:
        enter = Maps(channels // together, layout).rows(together * height, width)
        left = _channels(geometry, together, height, width)
    else:
        enter, left = maps.rows(height, width), whole_matrix(geometry, "left", height, width)
    if across:
        turn, right = maps.columns(h_out * width // across, across), _patches(geometry, "right", height, across)
    else:
        turn, right = maps.columns(h_out, width), whole_matrix(geometry, "right", height, width)
    steps = (enter, Product("left", "left"), turn, Product("right", "right"), maps.whole(h_out, w_out))
    return Lowered("packed", layout, steps, {"left": left, "right": right})


def _together(channels: int, rows: int) -> int:
    """The most channels whose rows share one block; a divisor of all channels."""
    return max(p for p in range(1, CUBE // min(rows, CUBE) + 1) if channels % p == 0)


def _period(geometry: Geometry, side: Side, height: int, width: int) -> int:
    """Rows of A (columns of B) after which it repeats itself, chosen for the least work; 0 where none saves any."""
    cells = [group.cell for group in geometry.groups]
    if any(group.shift for group in geometry.groups):
        return 0
    size = height if side == "left" else width
    sizes = [(c.h_in, c.h_out) if side == "left" else (c.w_in, c.w_out) for c in cells]

    def work(period: int) -> int:
        out = period * sizes[0][1] // sizes[0][0]
        return size // period * filled(period) * filled(out)

    repeat = lcm(*(before for before, _ in sizes))
    candidates = [period for period in range(repeat, size, repeat) if size % period == 0]
    best = min(candidates, key=work, default=size)
    return best if work(best) < work(size) else 0


def _patches(geometry: Geometry, side: Side, height: int, width: int) -> Matrix:
    """A of a map of only ``height`` rows, for all of them alike; B of one of only ``width`` columns."""
    matrix = whole_matrix(geometry, side, height, width)
    if side == "right":
        return matrix
    channels, rows, columns = matrix.shape
    index = partial(geometry.index_map, side, height, width)
    return Matrix((channels, 1, rows, columns), left=lambda: index()[:, None])


def _channels(geometry: Geometry, together: int, height: int, width: int) -> Matrix:
    """The A of ``together`` channels along one diagonal."""
    channels, rows, columns = geometry.matrix_shape("left", height, width)

    def index() -> Index:
        blocks = geometry.index_map("left", height, width).reshape(-1, together, rows, columns)
        spread = np.zeros((channels // together, together, rows, together, columns), dtype=np.int64)
        for place in range(together):
            spread[:, place, :, place] = blocks[:, place]
        return spread.reshape(-1, together * rows, together * columns)

    return Matrix((channels // together, together * rows, together * columns), left=index)
