"""Patchwise lowering: ``L X R`` for every patch (arXiv 2403.11251, equation 1), zeros only around the map.

``L X`` mixes only the rows of a patch, ``X R`` only its columns, and each of the two finds its patches in the map by a
reshape: no transpose. Channels of one cell size and shift go together; padding to whole patches stands for the shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from neonext_ascend.kernels.geometry import Cell, Geometry
from neonext_ascend.kernels.maps import Maps
from neonext_ascend.kernels.program import Crop, Index, Lowered, Matrix, Pad, Parallel, Product, Program
from neonext_ascend.spec import Layout


@dataclass(frozen=True, slots=True)
class _SubGroup:
    """Neighbouring channels of one cell size and shift.

    Args:
        cell: of all of them.
        channels: number.
        shift: down and right, in pixels.
        left, right: index of the first element of their cells L and R.
    """

    cell: Cell
    channels: int
    shift: tuple[int, int]
    left: int
    right: int


def patchwise(geometry: Geometry, height: int, width: int, layout: Layout) -> Lowered:
    """Pad, two products and Slice for each sub-group of channels."""
    out, parts, matrices = geometry.output_size(height, width), [], {}
    for number, sub in enumerate(_sub_groups(geometry)):
        cell = sub.cell
        names = (f"left_{number}", f"right_{number}")
        parts.append((sub.channels, _steps(sub, names, (height, width), out, layout)))
        left, right = (sub.channels, 1, cell.h_out, cell.h_in), (sub.channels, cell.w_in, cell.w_out)
        matrices[names[0]] = Matrix(left, left=_range(sub.left, left))
        matrices[names[1]] = Matrix(right, right=_range(sub.right, right))
    channel_axis = Maps(geometry.channels, layout).axes[0]
    steps = parts[0][1] if len(parts) == 1 else (Parallel(channel_axis, tuple(parts)),)
    return Lowered("patchwise", layout, steps, matrices)


def _steps(
    sub: _SubGroup, names: tuple[str, str], size: tuple[int, int], out: tuple[int, int], layout: Layout
) -> Program:
    cell, maps = sub.cell, Maps(sub.channels, layout)
    _, *axes = maps.axes
    before, after = [0] * 4, [0] * 4
    for axis, pixels, patch, shift in zip(axes, size, (cell.h_in, cell.w_in), sub.shift, strict=True):
        before[axis] = -shift % patch
        after[axis] = -(before[axis] + pixels) % patch
    high, wide = (size[i] + before[axis] + after[axis] for i, axis in enumerate(axes))
    rows, columns = high // cell.h_in, wide // cell.w_in
    h_out, w_out = rows * cell.h_out, columns * cell.w_out
    # Only cells that keep the size shift, so what was put before is what is taken off.
    window = tuple((axis, before[axis], before[axis] + kept) for axis, kept in zip(axes, out, strict=True))
    pad: Program = (Pad(tuple(before), tuple(after)),) if any((*before, *after)) else ()
    crop: Program = (Crop(window),) if (h_out, w_out) != out else ()
    return (
        *pad,
        maps.rows(rows, cell.h_in, wide),
        Product(names[0], "left"),
        maps.columns(h_out * columns, cell.w_in),
        Product(names[1], "right"),
        maps.whole(h_out, w_out),
        *crop,
    )


def _sub_groups(geometry: Geometry) -> Iterator[_SubGroup]:
    left = right = 1  # index 0 is the zero
    for group in geometry.groups:
        cell = group.cell
        shifts = zip(group.shifts("left").tolist(), group.shifts("right").tolist(), strict=True)
        for shift, alike in groupby(shifts):
            channels = len(list(alike))
            yield _SubGroup(cell, channels, shift, left, right)
            left += channels * cell.h_out * cell.h_in
            right += channels * cell.w_in * cell.w_out


def _range(start: int, shape: tuple[int, ...]) -> Callable[[], Index]:
    """Index of ``shape`` that counts up from ``start``."""
    return lambda: np.arange(start, start + int(np.prod(shape)), dtype=np.int64).reshape(shape)
