"""Cells, channel groups and shifts: the place of each element, shapes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.blockdiag import block_diagonal
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry, Side


def one_cell(cell: Cell, channels: int = 1, shift: bool = False) -> Geometry:
    return Geometry((CellGroup(cell, channels, shift),))


SHIFTED_3 = one_cell(Cell.square(3), channels=3, shift=True)

# case, geometry, side, map, channel, its matrix row by row: letters count through the cell, a dot is zero
PICTURES: list[tuple[str, Geometry, Side, tuple[int, int], int, str]] = [
    ("the last block is cropped", one_cell(Cell.square(3)), "left", (5, 3), 0, "abc.. def.. ghi.. ...ab ...de"),
    ("shift 0 of a shifted group", SHIFTED_3, "left", (4, 3), 0, "abc. def. ghi. ...a"),
    ("shift 1", SHIFTED_3, "left", (6, 3), 1, "i..... .abc.. .def.. .ghi.. ....ab ....de"),
    ("shift 2", SHIFTED_3, "right", (3, 6), 2, "ef.... hi.... ..abc. ..def. ..ghi. .....a"),
    ("a map no larger than the shift", SHIFTED_3, "left", (2, 2), 2, "ef hi"),
    ("a trailing row is dropped", Geometry.downsample(1), "left", (5, 4), 0, "ab... ..ab."),
    ("a trailing column is dropped", Geometry.downsample(1), "right", (4, 5), 0, "a. b. .a .b .."),
    ("up-sampling", one_cell(Cell(1, 2, 1, 2)), "left", (3, 3), 0, "a.. b.. .a. .b. ..a ..b"),
    ("3 -> 2 on 5 rows", one_cell(Cell(3, 2, 3, 2)), "left", (5, 5), 0, "abc.. def.. ...ab"),
    ("another size across than down", one_cell(Cell(2, 2, 3, 3)), "right", (2, 3), 0, "abc def ghi"),
]


@pytest.mark.parametrize(("case", "geometry", "side", "size", "channel", "picture"), PICTURES)
def test_every_element_of_a_cell_stands_where_the_paper_puts_it(
    case: str, geometry: Geometry, side: Side, size: tuple[int, int], channel: int, picture: str
) -> None:
    group = geometry.groups[0]
    cell = group.cell
    rows, columns = (cell.h_out, cell.h_in) if side == "left" else (cell.w_in, cell.w_out)
    letters = torch.arange(1, rows * columns + 1).reshape(rows, columns).repeat(group.channels, 1, 1)
    matrix = block_diagonal([letters], geometry, side, *size)[channel]
    assert " ".join("".join(".abcdefghi"[int(v)] for v in row) for row in matrix) == picture, case


@pytest.mark.parametrize(
    ("channels", "size", "shifts"),
    [
        (10, 4, [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]),
        (15, 7, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6]),
        (4, 4, [0, 1, 2, 3]),
        (13, 7, [0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]),
        (3, 7, [6, 6, 6]),  # fewer channels than sub-groups: the last sub-group is all there is
        (5, 1, [0, 0, 0, 0, 0]),
    ],
)
def test_the_last_sub_group_of_shifts_takes_the_remainder(channels: int, size: int, shifts: list[int]) -> None:
    group = CellGroup(Cell.square(size), channels, shift=True)
    assert group.shifts("left").tolist() == group.shifts("right").tolist() == shifts
    assert CellGroup(Cell.square(size), channels).shifts("left").tolist() == [0] * channels


def test_a_cell_may_shift_differently_down_and_across() -> None:
    group = CellGroup(Cell(2, 2, 3, 3), channels=6, shift=True)
    assert group.shifts("left").tolist() == [0, 0, 0, 1, 1, 1]
    assert group.shifts("right").tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("channels", "sizes", "parts"), [(24, (4, 7), [12, 12]), (25, (4, 7), [12, 13]), (8, (3, 4, 5), [2, 2, 4])]
)
def test_the_last_cell_size_takes_the_channels_that_are_left(
    channels: int, sizes: tuple[int, ...], parts: list[int]
) -> None:
    geometry = Geometry.split(channels, sizes, shift=True)
    assert [group.channels for group in geometry.groups] == parts
    assert [group.cell for group in geometry.groups] == [Cell.square(size) for size in sizes]
    assert geometry.channels == channels
    assert geometry.keeps_size


@pytest.mark.parametrize(
    ("cell", "size", "out"),
    [
        (Cell.square(7), (12, 17), (12, 17)),
        (Cell(2, 1, 2, 1), (15, 14), (7, 7)),
        (Cell(1, 2, 1, 2), (7, 9), (14, 18)),
        (Cell(3, 2, 3, 2), (13, 14), (8, 9)),
        (Cell(4, 7, 4, 4), (8, 13), (14, 13)),
    ],
)
def test_the_output_size_is_the_scaled_size_rounded_down(
    cell: Cell, size: tuple[int, int], out: tuple[int, int]
) -> None:
    geometry = one_cell(cell, channels=2)
    assert geometry.output_size(*size) == out
    assert geometry.keeps_size == (size == out)
    assert geometry.matrix_shape("left", *size) == (2, out[0], size[0])
    assert geometry.matrix_shape("right", *size) == (2, size[1], out[1])


@pytest.mark.parametrize(
    ("cell", "shift", "height", "filled"),
    [
        (Cell.square(4), False, 16, [4 * 16]),
        (Cell.square(4), False, 14, [3 * 16 + 2 * 2]),
        # shift s: a corner of s x s, whole cells, and what is left at the end
        (Cell.square(4), True, 14, [3 * 16 + 4, 1 + 3 * 16 + 1, 4 + 3 * 16, 9 + 2 * 16 + 9]),
        (Cell(2, 1, 2, 1), False, 15, [7 * 2]),
        (Cell(3, 2, 3, 2), False, 14, [4 * 6 + 1 * 2]),
    ],
)
def test_a_matrix_is_filled_in_its_blocks_alone(cell: Cell, shift: bool, height: int, filled: list[int]) -> None:
    geometry = one_cell(cell, len(filled), shift)
    index = geometry.index_map("left", height, 28)
    assert [int((channel > 0).sum()) for channel in index] == filled


def test_filled_elements_give_the_papers_cost_of_a_cell() -> None:
    channels, size, height, width = 6, 7, 14, 28  # whole cells in both directions: equations 4 and 5 hold exactly
    geometry = one_cell(Cell.square(size), channels)
    left, right = ((geometry.index_map(side, height, width) > 0).sum() for side in ("left", "right"))
    assert left * width + right * height == 2 * channels * height * width * size


Attempt = Callable[[], object]
# case, what is accepted, what is refused, words of the refusal
REFUSALS: list[tuple[str, Attempt, Attempt, Sequence[str]]] = [
    ("a size below 1", lambda: Cell(1, 1, 1, 1), lambda: Cell(2, 1, 0, 1), ["2x0->1x1", "at least 1"]),
    (
        "a group without channels",
        lambda: CellGroup(Cell.square(4), 1),
        lambda: CellGroup(Cell.square(4), 0),
        ["4x4->4x4", "0 channels", "at least 1"],
    ),
    (
        "a shift of a cell that changes the size",
        lambda: CellGroup(Cell(2, 2, 3, 3), 6, shift=True),
        lambda: CellGroup(Cell(2, 2, 3, 2), 6, shift=True),
        ["2x3->2x2", "keeps the size"],
    ),
    ("no group at all", lambda: one_cell(Cell.square(4)), lambda: Geometry(()), ["without channel groups"]),
    (
        "fewer channels than cell sizes",
        lambda: Geometry.split(2, (4, 7), True),
        lambda: Geometry.split(1, (4, 7), True),
        ["1 channels", "[4, 7]"],
    ),
    ("no cell size", lambda: Geometry.split(4, (4,), True), lambda: Geometry.split(4, (), True), ["4 channels", "[]"]),
    (
        "a map that is less high than a shift",
        lambda: one_cell(Cell.square(7), 7, shift=True).output_size(6, 6),
        lambda: one_cell(Cell.square(7), 7, shift=True).output_size(5, 6),
        ["5x6", "7x7", "at least 6x6"],
    ),
    (
        "a map that is narrower than a shift",
        lambda: one_cell(Cell.square(7), 7, shift=True).index_map("left", 6, 6),
        lambda: one_cell(Cell.square(7), 7, shift=True).index_map("left", 6, 5),
        ["6x5", "7x7", "at least 6x6"],
    ),
    (
        "nothing left behind the cell",
        lambda: Geometry.downsample(4).output_size(2, 2),
        lambda: Geometry.downsample(4).output_size(2, 1),
        ["2x1", "2x2->1x1", "nothing is left"],
    ),
    (
        "groups that give maps of different sizes",
        lambda: Geometry((CellGroup(Cell(2, 1, 2, 1), 2), CellGroup(Cell(4, 2, 4, 2), 2))).output_size(8, 8),
        lambda: Geometry((CellGroup(Cell(2, 1, 2, 1), 2), CellGroup(Cell.square(4), 2))).output_size(8, 8),
        ["different sizes", "(4, 4)", "(8, 8)"],
    ),
]


@pytest.mark.parametrize(("case", "good", "wrong", "words"), REFUSALS)
def test_an_impossible_geometry_is_refused_in_words(
    case: str, good: Attempt, wrong: Attempt, words: Sequence[str]
) -> None:
    good()
    with pytest.raises(GeometryError) as refusal:
        wrong()
    assert [word for word in words if word not in str(refusal.value)] == [], case
