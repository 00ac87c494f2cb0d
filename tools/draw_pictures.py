"""Draw the pictures of the documentation as SVG files that suit light and dark pages.

The matrices in ``neocell.svg`` are drawn from the package's own index maps, so the picture shows what the code does.

    python tools/draw_pictures.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from neonext_ascend.drawing.style import (
    BLUE,
    EDGE,
    GREEN,
    GRID,
    ORANGE,
    PURPLE,
    SOFT,
    TEXT_SIZE,
    TITLE_SIZE,
    axes,
    draw,
)
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry, Side

IMAGES = Path(__file__).parent.parent / "docs" / "images"

CELL, MAP, SHIFT = 4, 12, 2
PIXEL, ZOOMED = 9, 18
SIDE = MAP * PIXEL
# How dark each element of a cell is, in reading order: copies are seen to be the same cell, and a part which part.
SHADES = [[round(0.2 + 0.8 * (CELL * r + c) / (CELL * CELL - 1), 2) for c in range(CELL)] for r in range(CELL)]
# One channel for each shift from 0 to 3.
GEOMETRY = Geometry((CellGroup(Cell.square(CELL), CELL, shift=True),))
COLOURS: dict[Side, str] = {"left": BLUE, "right": ORANGE}


class Sheet:
    """The whole figure, in pixels from its upper left corner."""

    def __init__(self, figure: Figure) -> None:
        width, height = figure.get_size_inches() * 72
        self.axes: Axes = axes(figure, 0, 0, 0, 0)
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def text(self, x: float, y: float, words: str, **looks: Any) -> None:
        """Words centred on ``x``."""
        self.axes.text(x, y, words, **{"ha": "center", "size": TEXT_SIZE, **looks})

    def title(self, x: float, y: float, words: str) -> None:
        """Words that stand out."""
        self.text(x, y, words, size=TITLE_SIZE, weight="semibold")

    def square(self, x: float, y: float, size: float, colour: str, alpha: float = 1) -> None:
        """A filled square."""
        self.axes.add_patch(Rectangle((x, y), size, size, facecolor=colour, linewidth=0, alpha=alpha))

    def lines(self, x: float, y: float, size: float, places: Iterable[float], colour: str, width: float) -> None:
        """Horizontal and vertical lines across a square, at ``places`` from its upper left corner."""
        found = list(places)
        for draw_lines, across, along in ((self.axes.hlines, y, x), (self.axes.vlines, x, y)):
            draw_lines([across + p for p in found], along, along + size, colors=colour, linewidth=width)

    def frame(self, x: float, y: float, size: float) -> None:
        """The edges of a square."""
        self.lines(x, y, size, (0, size), EDGE, 1)

    def path(self, *points: tuple[float, float], arrow: bool = True, style: str = "-") -> None:
        """Straight lines from point to point."""
        *before, last = points
        self.axes.plot(*zip(*points, strict=True), style, color=EDGE, linewidth=1)
        if arrow:
            looks = {"arrowstyle": "-|>", "color": EDGE, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
            near = (0.9 * last[0] + 0.1 * before[-1][0], 0.9 * last[1] + 0.1 * before[-1][1])
            self.axes.annotate("", last, near, arrowprops={**looks, "mutation_scale": 14})

    def cells(self, x: float, y: float, side: Side) -> None:
        """L or R by itself."""
        for r in range(CELL):
            for c in range(CELL):
                self.square(x + c * ZOOMED, y + r * ZOOMED, ZOOMED, COLOURS[side], SHADES[r][c])
        self.frame(x, y, CELL * ZOOMED)

    def patch(self, x: float, y: float, colour: str) -> None:
        """The marked patch by itself."""
        self.square(x, y, CELL * ZOOMED, colour)
        self.lines(x, y, CELL * ZOOMED, (i * ZOOMED for i in range(1, CELL)), GRID, 0.5)
        self.frame(x, y, CELL * ZOOMED)

    def map(self, x: float, y: float, shift: int, corner: int, colour: str) -> None:
        """A map of 12 x 12 pixels cut into patches, one of them marked: where it begins in rows and columns."""
        self.square(x, y, SIDE, GRID)
        self.square(x + corner * PIXEL, y + corner * PIXEL, CELL * PIXEL, colour)
        self.lines(x, y, SIDE, (i * PIXEL for i in range(1, MAP)), EDGE, 0.25)
        self.lines(x, y, SIDE, (i * PIXEL for i in range(shift, MAP + 1, CELL)), EDGE, 1)
        self.frame(x, y, SIDE)

    def matrix(self, x: float, y: float, side: Side, shift: int) -> None:
        """A or B of the channel that has this shift."""
        first = 1 + shift * CELL * CELL
        for row, indices in enumerate(GEOMETRY.index_map(side, MAP, MAP)[shift].tolist()):
            for column, index in enumerate(indices):
                if index:
                    r, c = divmod(index - first, CELL)
                    self.square(x + column * PIXEL, y + row * PIXEL, PIXEL, COLOURS[side], SHADES[r][c])
        self.lines(x, y, SIDE, (i * PIXEL for i in range(1, MAP)), GRID, 0.5)
        self.frame(x, y, SIDE)

    def product(self, columns: Sequence[float], y: float, size: float, names: Sequence[str], name_y: float) -> None:
        """Names of four squares side by side, and the signs between them: a product of three is the fourth."""
        for column, name in zip(columns, names, strict=True):
            self.text(column + size / 2, name_y, name)
        for column, after, sign in zip(columns, columns[1:], "··=", strict=False):
            self.text((column + size + after) / 2, y + size / 2, sign, size=18, va="center")


def patchwise(sheet: Sheet) -> None:
    """The left half of ``neocell.svg``."""
    size, top, below, columns = CELL * ZOOMED, 92, 274, (20, 116, 212, 308)
    x_map, y_map = 40, 272
    sheet.title(200, 26, "Patchwise")
    sheet.text(200, 48, "each k x k patch by itself:  Y[i, j] = L · X[i, j] · R", color=SOFT)
    for left, target, name, colour in ((x_map, columns[1], "X", GREEN), (y_map, columns[3], "Y", PURPLE)):
        sheet.text(left + SIDE / 2, top - 10, name)
        sheet.map(left, top, 0, CELL, colour)
        for near, far in ((CELL * PIXEL, 0), (2 * CELL * PIXEL, size)):
            sheet.path((left + near, top + 2 * CELL * PIXEL), (target + far, below), arrow=False, style="--")
        sheet.patch(target, below, colour)
    middle = (x_map + SIDE + y_map) / 2
    sheet.path((x_map + SIDE + 10, top + SIDE / 2), (y_map - 10, top + SIDE / 2))
    sheet.text(middle, top + SIDE / 2 - 12, "every patch", color=SOFT)
    sheet.text(middle, top + SIDE / 2 + 24, "same L, R", color=SOFT)
    sheet.cells(columns[0], below, "left")
    sheet.cells(columns[2], below, "right")
    sheet.product(columns, below, size, ("L", "X[i, j]", "R", "Y[i, j]"), below + size + 20)
    sheet.text(200, below + size + 46, "here k = 4; L and R are learned for each channel", color=SOFT)


def block_diagonal(sheet: Sheet, left: int) -> None:
    """The right half of ``neocell.svg``."""
    columns = [left + i * (SIDE + 28) for i in range(4)]
    middle = (columns[0] + columns[3] + SIDE) / 2
    sheet.title(middle, 26, "Block-diagonal")
    sheet.text(middle, 48, "the whole map at once:  Y = A · X · B", color=SOFT)
    for top, shift in ((92, 0), (274, SHIFT)):
        sheet.matrix(columns[0], top, "left", shift)
        sheet.map(columns[1], top, shift, CELL + shift, GREEN)
        sheet.matrix(columns[2], top, "right", shift)
        sheet.map(columns[3], top, shift, CELL + shift, PURPLE)
        sheet.product(columns, top, SIDE, "AXBY", top - 10)
    for y, words in (
        (222, "A repeats L along its diagonal, B repeats R; zero elsewhere"),
        (404, "shift s = 2: the diagonal starts 2 pixels later; the corner holds the cell's"),
        (422, "lower-right 2 x 2 part, the last block is cropped"),
    ):
        sheet.text(middle, y, words, color=SOFT)


def neocell() -> str:
    """NeoCell's two forms side by side."""

    def paint(figure: Figure) -> None:
        sheet = Sheet(figure)
        patchwise(sheet)
        sheet.path((420, 20), (420, 416), arrow=False)
        block_diagonal(sheet, 444)

    told = (
        "Left: an image cut into patches, each multiplied from the left by L and from the right by R. Right: the same "
        "as two matrix products with block-diagonal matrices A and B, without and with a shift."
    )
    return draw(976, 436, "NeoCell, patchwise and block-diagonal", told, paint)


def pipeline() -> str:
    """From a checkpoint to a verified ONNX file, and on to a chip."""
    width, height, gap, top, later = 152, 64, 40, 76, 206
    columns = [20 + i * (width + gap) for i in range(5)]
    centres = [column + width / 2 for column in columns]
    tested = (
        ("checkpoint", ".pt or .safetensors"),
        ("network", "PyTorch, as trained"),
        ("passes", "fold, then lower"),
        ("ONNX file", "opset 11 to 18"),
        ("parity check", "outside and inside"),
    )
    chip = (("atc", "CANN's compiler"), ("OM", "for one chip"), ("device", "Ascend NPU"))

    def row(sheet: Sheet, lefts: Sequence[float], y: float, boxes: Sequence[tuple[str, str]], style: str) -> None:
        for left, (name, detail) in zip(lefts, boxes, strict=True):
            looks: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": BLUE if style == "-" else EDGE,
                "linestyle": style,
            }
            shape = "round,pad=0,rounding_size=8"
            sheet.axes.add_patch(FancyBboxPatch((left, y), width, height, shape, linewidth=1.5, **looks))
            sheet.title(left + width / 2, y + 27, name)
            sheet.text(left + width / 2, y + 48, detail, color=SOFT)
        for left in lefts[:-1]:
            sheet.path((left + width + 4, y + height / 2), (left + width + gap - 4, y + height / 2), style=style)

    def paint(figure: Figure) -> None:
        sheet = Sheet(figure)
        row(sheet, columns, top, tested, "-")
        row(sheet, columns[2:], later, chip, "--")
        sheet.path((centres[1], top - 4), (centres[1], 44), (centres[4], 44), (centres[4], top - 4))
        reference = "the unfolded network is the reference: same inputs to both"
        sheet.text((centres[1] + centres[4]) / 2, 34, reference)
        elbow = (top + height + later) / 2
        corners = ((centres[3], elbow), (centres[2], elbow))
        sheet.path((centres[3], top + height + 4), *corners, (centres[2], later - 4), style="--")
        sheet.text(centres[0] + 96, later + height / 2 - 6, "dashed: built after CANN's documents,", color=SOFT)
        sheet.text(centres[0] + 96, later + height / 2 + 14, "not yet tried with CANN itself", color=SOFT)

    told = (
        "Checkpoint, network, passes, ONNX file, parity check against the unfolded network; then atc, OM, device, "
        "which are dashed: built after CANN's documents, not yet tried with CANN itself."
    )
    return draw(
        int(columns[-1]) + width + 20, later + height + 16, "From a checkpoint to a verified ONNX file", told, paint
    )


def pictures() -> dict[str, str]:
    """Every picture by its file's name."""
    return {"neocell.svg": neocell(), "pipeline.svg": pipeline()}


def main() -> None:
    """Write them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, content in pictures().items():
        (IMAGES / name).write_text(content, encoding="utf-8")
        print(f"wrote {IMAGES / name}")


if __name__ == "__main__":
    main()
