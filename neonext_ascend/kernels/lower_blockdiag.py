"""Block-diagonal lowering: A and B whole, two products (arXiv 2403.11251, equations 2 and 3)."""

from __future__ import annotations

from functools import partial

from neonext_ascend.kernels.geometry import Geometry, Side
from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import Lowered, Matrix, Product, Program
from neonext_ascend.spec import Layout


def blockdiag(geometry: Geometry, height: int, width: int, layout: Layout) -> Lowered:
    """``(A X) B`` with ``A (C, H', H)`` and ``B (C, W, W')``."""
    maps, (h_out, w_out) = Maps(geometry.channels, layout), geometry.output_size(height, width)
    left, right = Product("left", "left"), Product("right", "right")
    steps: Program = (left, right)
    if layout == "chnw":
        steps = (maps.rows(height, width), left, maps.columns(h_out, width), right, maps.whole(h_out, w_out))
    matrices = {side: whole_matrix(geometry, side, height, width) for side in ("left", "right")}
    return Lowered("blockdiag", layout, steps, matrices)


def whole_matrix(geometry: Geometry, side: Side, height: int, width: int) -> Matrix:
    """A or B."""
    shape = geometry.matrix_shape(side, height, width)
    index = partial(geometry.index_map, side, height, width)
    return Matrix(shape, left=index) if side == "left" else Matrix(shape, right=index)
