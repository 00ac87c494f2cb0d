"""Kronecker lowering: ``vec(Y) = (A kron B^T) vec(X)``, one product with an ``(H W, H' W')`` matrix a channel."""

from __future__ import annotations

import numpy as np

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.program import Index, Lowered, Matrix, Product, Reshape
from neonext_ascend.spec import Layout

MOST_PIXELS = 64  # its matrices grow with the square of the pixels: 7x7 pays, 14x14 never does


def kron(geometry: Geometry, height: int, width: int, layout: Layout) -> Lowered:
    """Each channel's map as one row of ``H W`` pixels.

    Raises:
        GeometryError: the map is too large, or the layout keeps a channel's pixels apart.
    """
    channels, (h_out, w_out) = geometry.channels, geometry.output_size(height, width)
    if layout != "nchw":
        raise GeometryError(f"kron: needs the pixels of a channel side by side; in {layout} the batch is between them")
    if height * width > MOST_PIXELS:
        raise GeometryError(f"kron: a {height}x{width} map has more than {MOST_PIXELS} pixels")
    spread, flat = (channels, height, width, h_out, w_out), (channels, height * width, h_out * w_out)

    def left() -> Index:
        a = geometry.index_map("left", height, width).transpose(0, 2, 1)
        return np.broadcast_to(a[:, :, None, :, None], spread).reshape(flat)

    def right() -> Index:
        b = geometry.index_map("right", height, width)
        return np.broadcast_to(b[:, None, :, None, :], spread).reshape(flat)

    steps = (
        Reshape((-1, channels, 1, height * width)),
        Product("both", "right"),
        Reshape((-1, channels, h_out, w_out)),
    )
    return Lowered("kron", layout, steps, {"both": Matrix(flat, left, right)})
