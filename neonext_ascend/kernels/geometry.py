"""Cells, channel groups and shifts: which element of which cell stands where in A and B.

A cell of ``L (h', h)`` and ``R (w, w')`` turns every ``h x w`` patch into an ``h' x w'`` one. Along the
diagonal of ``A (H', H)`` copies of L follow each other, along that of ``B (W, W')`` copies of R; what does
not fit is cropped. With shift ``s`` the diagonal starts ``s`` pixels later, and the corner before it holds
the lower-right ``s x s`` part of the cell (arXiv 2403.11251, equations 1 to 3 and section 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import GeometryError

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One learned pair of small matrices: ``L (h_out, h_in)`` and ``R (w_in, w_out)``, sizes in pixels.

    Raises:
        GeometryError: a size below 1.
    """

    h_in: int
    h_out: int
    w_in: int
    w_out: int

    def __post_init__(self) -> None:
        if min(self.h_in, self.h_out, self.w_in, self.w_out) < 1:
            raise GeometryError(f"cell {self}: a size is below 1; every size of a cell is at least 1")

    @classmethod
    def square(cls, size: int) -> Cell:
        """A cell that keeps the map's size."""
        return cls(size, size, size, size)

    @property
    def keeps_size(self) -> bool:
        """Whether the map's height and width stay as they are."""
        return self.h_in == self.h_out and self.w_in == self.w_out

    def __str__(self) -> str:
        return f"{self.h_in}x{self.w_in}->{self.h_out}x{self.w_out}"


@dataclass(frozen=True, slots=True)
class CellGroup:
    """Channels that share one cell size (each channel has weights of its own).

    Raises:
        GeometryError: no channel, or a shift with a cell that changes the map's size.
    """

    cell: Cell
    channels: int
    shift: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise GeometryError(f"cell {self.cell}: {self.channels} channels; a group holds at least 1")
        if self.shift and not self.cell.keeps_size:
            raise GeometryError(f"cell {self.cell} with a shift: only a cell that keeps the size can shift")

    def shifts(self, side: Side) -> NDArray[np.int64]:
        """Shift of each channel in pixels, ``(channels,)``.

        k sub-groups of ``channels // k`` with shift 0, 1, .., k-1; the last takes the remainder.
        """
        if not self.shift:
            return np.zeros(self.channels, dtype=np.int64)
        size = self.cell.h_in if side == "left" else self.cell.w_in
        sub_group = self.channels // size
        if sub_group == 0:
            return np.full(self.channels, size - 1, dtype=np.int64)
        return np.minimum(np.arange(self.channels) // sub_group, size - 1)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The channel groups of one NeoCell, in channel order.

    Raises:
        GeometryError: no group.
    """

    groups: tuple[CellGroup, ...]

    def __post_init__(self) -> None:
        if not self.groups:
            raise GeometryError("a NeoCell without channel groups; give at least one")

    @classmethod
    def split(cls, channels: int, sizes: Sequence[int], shift: bool) -> Geometry:
        """Square cells of ``sizes`` over equal parts of ``channels``; the last part takes the remainder.

        Raises:
            GeometryError: fewer channels than sizes, or no size.
        """
        if not sizes or channels < len(sizes):
            raise GeometryError(f"{channels} channels cannot be split over cell sizes {list(sizes)}")
        part = channels // len(sizes)
        counts = [part] * (len(sizes) - 1) + [channels - part * (len(sizes) - 1)]
        return cls(tuple(CellGroup(Cell.square(k), n, shift) for k, n in zip(sizes, counts, strict=True)))

    @classmethod
    def downsample(cls, channels: int, factor: int = 2) -> Geometry:
        """Cells ``factor -> 1`` over all channels."""
        return cls((CellGroup(Cell(factor, 1, factor, 1), channels),))

    @property
    def channels(self) -> int:
        """Channels of all groups."""
        return sum(group.channels for group in self.groups)

    @property
    def keeps_size(self) -> bool:
        """Whether every group keeps the map's size."""
        return all(group.cell.keeps_size for group in self.groups)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width behind the NeoCell, ``floor(H / h * h')``, in pixels.

        Raises:
            GeometryError: nothing is left, the groups disagree, or a shift does not fit the map.
        """
        sizes = set()
        for group in self.groups:
            cell = group.cell
            if group.shift and (height < cell.h_in - 1 or width < cell.w_in - 1):
                raise GeometryError(
                    f"a {height}x{width} map is too small for a shifted {cell.h_in}x{cell.w_in} cell; "
                    f"it needs at least {cell.h_in - 1}x{cell.w_in - 1}"
                )
            sizes.add((height * cell.h_out // cell.h_in, width * cell.w_out // cell.w_in))
        if len(sizes) > 1:
            raise GeometryError(f"the channel groups give maps of different sizes: {sorted(sizes)}")
        out = sizes.pop()
        if min(out) < 1:
            raise GeometryError(
                f"a {height}x{width} map is too small: nothing is left behind cell {self.groups[0].cell}"
            )
        return out

    def matrix_shape(self, side: Side, height: int, width: int) -> tuple[int, int, int]:
        """Shape of A ``(C, H', H)`` or B ``(C, W, W')`` for a map of ``height x width``."""
        h_out, w_out = self.output_size(height, width)
        return (self.channels, h_out, height) if side == "left" else (self.channels, width, w_out)

    def index_map(self, side: Side, height: int, width: int) -> NDArray[np.int64]:
        """Where each element of A or B comes from, ``(C, rows, columns)``.

        The index counts through a vector that holds one zero and then the weights of all groups, flattened
        in order; outside the blocks it is 0, so that one gather builds the matrix.
        """
        _, rows, columns = self.matrix_shape(side, height, width)
        parts, offset = [], 1
        for group in self.groups:
            cell = group.cell
            block = (cell.h_out, cell.h_in) if side == "left" else (cell.w_in, cell.w_out)
            by_shift = {int(s): _block_index(rows, columns, block, int(s)) for s in set(group.shifts(side))}
            inside = np.stack([by_shift[int(s)] for s in group.shifts(side)])
            size = block[0] * block[1]
            base = offset + size * np.arange(group.channels, dtype=np.int64)[:, None, None]
            parts.append(np.where(inside < 0, 0, inside + base))
            offset += size * group.channels
        return np.concatenate(parts)

    def bias_index_map(self, height: int, width: int) -> NDArray[np.int64]:
        """Where each element of the bias ``(C, H', W')`` comes from; cells ``(C_g, h', w')``, no zero first."""
        h_out, w_out = self.output_size(height, width)
        parts, offset = [], 0
        for group in self.groups:
            cell = group.cell
            rows = (np.arange(h_out) - group.shifts("left")[:, None]) % cell.h_out
            columns = (np.arange(w_out) - group.shifts("right")[:, None]) % cell.w_out
            base = offset + cell.h_out * cell.w_out * np.arange(group.channels)[:, None, None]
            parts.append(base + rows[:, :, None] * cell.w_out + columns[:, None, :])
            offset += cell.h_out * cell.w_out * group.channels
        return np.concatenate(parts)


def _block_index(rows: int, columns: int, block: tuple[int, int], shift: int) -> NDArray[np.int64]:
    """Element of the cell at each place of one matrix, ``-1`` outside the blocks.

    Row r lies in block ``(r - shift) // block_rows``; rows before the shift lie in block -1, whose
    remainder gives the lower-right part of the cell, and a last block is cropped by the matrix's edge.
    """
    r, c = np.arange(rows) - shift, np.arange(columns) - shift
    inside = (r // block[0])[:, None] == (c // block[1])[None, :]
    return np.where(inside, (r % block[0])[:, None] * block[1] + (c % block[1])[None, :], -1)
