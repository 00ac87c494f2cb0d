"""Draw the pictures of the documentation as SVG files that suit light and dark pages.

The matrices in ``neocell.svg`` are drawn from the package's own index maps, so the picture shows what the code does.

    python tools/draw_pictures.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry, Side

IMAGES = Path(__file__).parent.parent / "docs" / "images"

CELL, MAP, SHIFT = 4, 12, 2
PIXEL, ZOOMED = 9, 18
SIDE = MAP * PIXEL
# How dark each element of a cell is, in reading order: copies are seen to be the same cell, and a part which part.
SHADES = [[round(0.2 + 0.8 * (CELL * r + c) / (CELL * CELL - 1), 2) for c in range(CELL)] for r in range(CELL)]
# One channel for each shift from 0 to 3.
GEOMETRY = Geometry((CellGroup(Cell.square(CELL), CELL, shift=True),))

# class: properties, light colour, dark colour
STYLES = (
    ("text", "stroke: none; fill", "#1f2328", "#f0f6fc"),
    (".soft", "fill", "#59636e", "#9198a1"),
    (".left", "fill", "#0969da", "#58a6ff"),
    (".right", "fill", "#bc4c00", "#ff9b50"),
    (".patch", "fill", "#1a7f37", "#3fb950"),
    (".result", "fill", "#8250df", "#ab7df8"),
    (".map", "fill", "#d8dee4", "#30363d"),
    (".line", "fill: none; stroke", "#818b98", "#9198a1"),
    (".thin", "fill: none; stroke-width: 0.5; stroke", "#afb8c1", "#484f58"),
    (".box", "fill: none; stroke-width: 1.5; stroke", "#0969da", "#58a6ff"),
    (".later", "fill: none; stroke-width: 1.5; stroke-dasharray: 5 4; stroke", "#818b98", "#9198a1"),
    (".head", "fill", "#818b98", "#9198a1"),
)


def svg(width: int, height: int, title: str, description: str, body: Iterable[str]) -> str:
    """A whole file, with a transparent background."""
    light = [f"  {name} {{ {properties}: {colour}; }}" for name, properties, colour, _ in STYLES]
    dark = [f"    {name} {{ {properties.split('; ')[-1]}: {colour}; }}" for name, properties, _, colour in STYLES]
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{title}</title>",
        f"<desc>{description}</desc>",
        "<style>",
        "  text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; text-anchor: middle; }",
        "  .title { font-size: 16px; font-weight: 600; }",
        "  .sign { font-size: 18px; }",
        *light,
        "  @media (prefers-color-scheme: dark) {",
        *dark,
        "  }",
        "</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '  <path class="head" d="M0 0L8 4L0 8z"/>',
        "</marker>",
    ]
    return "\n".join([*head, *body, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words centred on ``x``."""
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{marked}>{words}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0, radius: int = 0) -> str:
    """A rectangle; its class decides whether it is filled or outlined."""
    faint = "" if opacity == 1.0 else f' fill-opacity="{opacity:g}"'
    rounded = f' rx="{radius}"' if radius else ""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{faint}{rounded}/>'


def path(points: Sequence[tuple[float, float]], kind: str = "line", arrow: bool = True) -> str:
    """Straight lines from point to point."""
    steps = "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path class="{kind}" d="M{steps}"' + (' marker-end="url(#arrow)"/>' if arrow else "/>")


def lines(x: float, y: float, size: float, places: Iterable[float], kind: str) -> str:
    """Horizontal and vertical lines across a square, at ``places`` from its upper left corner."""
    steps = "".join(f"M{x:g} {y + p:g}h{size:g}M{x + p:g} {y:g}v{size:g}" for p in places)
    return f'<path class="{kind}" d="{steps}"/>'


def feature_map(x: float, y: float, shift: int, patch: tuple[int, int], kind: str) -> list[str]:
    """A map of 12 x 12 pixels cut into patches, one of them marked: its row and column in pixels, and its class."""
    return [
        rect(x, y, SIDE, SIDE, "map"),
        rect(x + patch[1] * PIXEL, y + patch[0] * PIXEL, CELL * PIXEL, CELL * PIXEL, kind),
        lines(x, y, SIDE, (i * PIXEL for i in range(1, MAP)), "thin"),
        lines(x, y, SIDE, (i * PIXEL for i in range(shift, MAP + 1, CELL)), "line"),
        rect(x, y, SIDE, SIDE, "line"),
    ]


def matrix(x: float, y: float, side: Side, shift: int) -> list[str]:
    """A or B of the channel that has this shift."""
    first = 1 + shift * CELL * CELL
    drawn = [lines(x, y, SIDE, (i * PIXEL for i in range(1, MAP)), "thin")]
    for row, indices in enumerate(GEOMETRY.index_map(side, MAP, MAP)[shift].tolist()):
        for column, index in enumerate(indices):
            if index:
                r, c = divmod(index - first, CELL)
                drawn.append(rect(x + column * PIXEL, y + row * PIXEL, PIXEL, PIXEL, side, SHADES[r][c]))
    return [*drawn, rect(x, y, SIDE, SIDE, "line")]


def cell(x: float, y: float, side: Side) -> list[str]:
    """L or R by itself."""
    drawn = [
        rect(x + c * ZOOMED, y + r * ZOOMED, ZOOMED, ZOOMED, side, SHADES[r][c])
        for r in range(CELL)
        for c in range(CELL)
    ]
    return [*drawn, rect(x, y, CELL * ZOOMED, CELL * ZOOMED, "line")]


def zoomed_patch(x: float, y: float, kind: str) -> list[str]:
    """The marked patch by itself."""
    size = CELL * ZOOMED
    return [
        rect(x, y, size, size, kind),
        lines(x, y, size, (i * ZOOMED for i in range(1, CELL)), "thin"),
        rect(x, y, size, size, "line"),
    ]


def patchwise() -> list[str]:
    """The left half of ``neocell.svg``."""
    size, top, below, columns = CELL * ZOOMED, 92, 274, (20, 116, 212, 308)
    x_map, y_map, patch = 40, 272, (CELL, CELL)
    corner, bottom = patch[1] * PIXEL, top + (patch[0] + CELL) * PIXEL
    drawn = [
        text(200, 26, "Patchwise", "title"),
        text(200, 48, "each k x k patch by itself:  Y[i, j] = L · X[i, j] · R", "soft"),
        text(x_map + SIDE / 2, top - 10, "X"),
        text(y_map + SIDE / 2, top - 10, "Y"),
        *feature_map(x_map, top, 0, patch, "patch"),
        *feature_map(y_map, top, 0, patch, "result"),
        path([(x_map + SIDE + 10, top + SIDE / 2), (y_map - 10, top + SIDE / 2)]),
        text((x_map + SIDE + y_map) / 2, top + SIDE / 2 - 12, "every patch", "soft"),
        text((x_map + SIDE + y_map) / 2, top + SIDE / 2 + 24, "same L, R", "soft"),
    ]
    for left, target in ((x_map, columns[1]), (y_map, columns[3])):
        drawn.append(path([(left + corner, bottom), (target, below)], "later", arrow=False))
        drawn.append(path([(left + corner + CELL * PIXEL, bottom), (target + size, below)], "later", arrow=False))
    drawn += cell(columns[0], below, "left") + zoomed_patch(columns[1], below, "patch")
    drawn += cell(columns[2], below, "right") + zoomed_patch(columns[3], below, "result")
    for column, name in zip(columns, ("L", "X[i, j]", "R", "Y[i, j]"), strict=True):
        drawn.append(text(column + size / 2, below + size + 20, name))
    for column, sign in zip(columns, "··=", strict=False):
        drawn.append(text(column + size + 12, below + size / 2 + 6, sign, "sign"))
    return [*drawn, text(200, below + size + 46, "here k = 4; L and R are learned for each channel", "soft")]


def block_diagonal(left: int) -> list[str]:
    """The right half of ``neocell.svg``."""
    columns = [left + i * (SIDE + 28) for i in range(4)]
    middle = (columns[0] + columns[3] + SIDE) / 2
    drawn = [
        text(middle, 26, "Block-diagonal", "title"),
        text(middle, 48, "the whole map at once:  Y = A · X · B", "soft"),
    ]
    for top, shift in ((92, 0), (274, SHIFT)):
        patch = (CELL + shift, CELL + shift)
        drawn += matrix(columns[0], top, "left", shift) + feature_map(columns[1], top, shift, patch, "patch")
        drawn += matrix(columns[2], top, "right", shift) + feature_map(columns[3], top, shift, patch, "result")
        for column, name in zip(columns, "AXBY", strict=True):
            drawn.append(text(column + SIDE / 2, top - 10, name))
        for column, sign in zip(columns, "··=", strict=False):
            drawn.append(text(column + SIDE + 14, top + SIDE / 2 + 6, sign, "sign"))
    return [
        *drawn,
        text(middle, 222, "A repeats L along its diagonal, B repeats R; zero elsewhere", "soft"),
        text(middle, 404, "shift s = 2: the diagonal starts 2 pixels later; the corner holds the cell's", "soft"),
        text(middle, 422, "lower-right 2 x 2 part, the last block is cropped", "soft"),
    ]


def neocell() -> str:
    """NeoCell's two forms side by side."""
    return svg(
        976,
        436,
        "NeoCell, patchwise and block-diagonal",
        "Left: an image cut into patches, each multiplied from the left by L and from the right by R. Right: the same "
        "as two matrix products with block-diagonal matrices A and B, without and with a shift.",
        [*patchwise(), path([(420, 20), (420, 416)], "thin", arrow=False), *block_diagonal(444)],
    )


def pipeline() -> str:
    """From a checkpoint to a verified ONNX file, and what is not built yet."""
    width, height, gap, top, later = 152, 64, 40, 76, 206
    columns = [20 + i * (width + gap) for i in range(5)]
    centres = [column + width / 2 for column in columns]
    done = (
        ("checkpoint", ".pt or .safetensors"),
        ("network", "PyTorch, as trained"),
        ("passes", "fold, then lower"),
        ("ONNX file", "opset 11 to 18"),
        ("parity check", "outside and inside"),
    )
    planned = (("atc", "CANN's compiler"), ("OM", "for one chip"), ("device", "Ascend NPU"))

    def box(x: float, y: float, words: tuple[str, str], kind: str) -> list[str]:
        name, detail = words
        return [
            rect(x, y, width, height, kind, radius=8),
            text(x + width / 2, y + 27, name, "title"),
            text(x + width / 2, y + 48, detail, "soft"),
        ]

    drawn: list[str] = []
    for column, words in zip(columns, done, strict=True):
        drawn += box(column, top, words, "box")
    for column in columns[:-1]:
        drawn.append(path([(column + width + 4, top + height / 2), (column + width + gap - 4, top + height / 2)]))
    drawn.append(path([(centres[1], top - 4), (centres[1], 44), (centres[4], 44), (centres[4], top - 4)]))
    drawn.append(text((centres[1] + centres[4]) / 2, 34, "the unfolded network is the reference: same inputs to both"))
    for column, words in zip(columns[2:], planned, strict=True):
        drawn += box(column, later, words, "later")
    elbow = (top + height + later) / 2
    drawn.append(
        path(
            [(centres[3], top + height + 4), (centres[3], elbow), (centres[2], elbow), (centres[2], later - 4)], "later"
        )
    )
    for column in columns[2:4]:
        drawn.append(
            path([(column + width + 4, later + height / 2), (column + width + gap - 4, later + height / 2)], "later")
        )
    drawn.append(text(centres[1], later + height / 2 + 5, "dashed: not built yet", "soft"))
    return svg(
        columns[-1] + width + 20,
        later + height + 16,
        "From a checkpoint to a verified ONNX file",
        "Checkpoint, network, passes, ONNX file, parity check against the unfolded network. Dashed, not built yet: "
        "atc, OM, device.",
        drawn,
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
