"""The one style of our plots: drawn by matplotlib, kept as SVG that reads well on light and on dark pages.

An SVG carries light colours in its elements, which every viewer shows, and a style sheet that puts the dark one in the
place of each where the reader prefers dark. Text stays text, in the reader's own font: matplotlib measures DejaVu Sans,
which is wider than those.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from neonext_ascend.errors import ToolchainError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# light colour: dark colour
DARK = {
    (PAGE := "#ffffff"): "#0d1117",
    (TEXT := "#1f2328"): "#f0f6fc",
    (SOFT := "#59636e"): "#9198a1",
    (GRID := "#d8dee4"): "#30363d",
    (EDGE := "#818b98"): "#8b949e",
    (BLUE := "#0969da"): "#58a6ff",
    (ORANGE := "#bc4c00"): "#ff9b50",
    (GREEN := "#1a7f37"): "#3fb950",
    (PURPLE := "#8250df"): "#ab7df8",
    (GREY := "#6e7781"): "#7d8590",
    (PINK := "#bf3989"): "#f778ba",
    (OCHRE := "#9a6700"): "#e3b341",
}
# Told apart by hue and lightness.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, GREY, PINK, OCHRE)
TITLE_SIZE, TEXT_SIZE, SMALL = 16, 13, 12  # pixels
MARGIN, _TITLE_Y, _LINE = 24, 28, 20
_STYLE: dict[str, Any] = {
    "figure.dpi": 72,  # a point is a pixel
    "axes.facecolor": "none",
    "axes.edgecolor": EDGE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": TEXT_SIZE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 7),
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.labelcolor": SOFT,
    "lines.linewidth": 1.6,
    "lines.markersize": 7,
    "svg.fonttype": "none",
    "svg.hashsalt": "neonext",  # ids are the same in every process
    "text.color": TEXT,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": EDGE,
    "xtick.labelcolor": SOFT,
    "ytick.color": EDGE,
    "ytick.labelcolor": SOFT,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_FONT = "text { font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif !important; }"


def require_matplotlib(what: str) -> None:
    """See that plots can be drawn here, before anything long is begun for one.

    Args:
        what: asks for a plot, as the user wrote it.

    Raises:
        ToolchainError: matplotlib is missing or does not load.
    """
    try:
        with _quiet():
            import matplotlib.figure
            import matplotlib.style  # noqa: F401 -- whether it loads is the question
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise ToolchainError(
            f"{what}: plots need {missing}, which is not installed; pip install '.[report]' in the checkout"
        ) from None
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise ToolchainError(f"{what}: matplotlib does not load here: {error}") from None


def draw(
    width: int, height: int, title: str, told: str, paint: Callable[[Figure], None], subtitle: str | None = None
) -> str:
    """A whole SVG file; the same call gives the same bytes.

    Args:
        width, height: in pixels.
        title: its name; drawn above all where there is a subtitle.
        told: what it shows, for those who cannot see it.
        paint: puts everything else on the figure.
        subtitle: below the title, a line or several.
    """
    drawn = io.StringIO()
    with _quiet():
        from matplotlib import style
        from matplotlib.figure import Figure

        with style.context(["default", _STYLE]):
            figure = Figure((width / 72, height / 72))
            if subtitle is not None:
                write(figure, MARGIN, _TITLE_Y, title, size=TITLE_SIZE, weight="semibold")
                for number, line in enumerate(subtitle.split("\n"), 1):
                    write(figure, MARGIN, _TITLE_Y + _LINE * number, line, color=SOFT)
            paint(figure)
            figure.savefig(drawn, format="svg")
    return _finished(drawn.getvalue(), width, height, title, told)


def write(figure: Figure, x: float, y: float, text: str, **looks: Any) -> None:
    """One line of text at ``x``, ``y`` in pixels from the upper left corner."""
    width, height = figure.get_size_inches() * 72
    figure.text(x / width, 1 - y / height, clean(text), **looks)


def axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes with these margins, in pixels."""
    width, height = figure.get_size_inches() * 72
    return figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Equal ratios have equal lengths; marked at 1, 2 and 5, over more than two decades at powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,), numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def clean(text: str) -> str:
    """Without what XML or one line cannot hold: control characters and halves of surrogate pairs."""
    return re.sub("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what matplotlib says of its fonts and caches: it would stand among our words."""
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # it measures text that it never draws
            yield
    finally:
        log.setLevel(before)


def _finished(drawn: str, width: int, height: int, title: str, told: str) -> str:
    """With names for those who cannot see it, both colour schemes, and nothing about when it was made."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(drawn)
    root.remove(root[0])  # metadata
    root.attrib.update(width=str(width), height=str(height), role="img")
    dark = "\n".join(
        f'[style*="{what}: {light}"] {{ {what}: {colour} !important; }}'
        for light, colour in DARK.items()
        for what in ("fill", "stroke")
    )
    sheet = f"\n{_FONT}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    for place, (name, text) in enumerate({"title": clean(title), "desc": clean(told), "style": sheet}.items()):
        element = ElementTree.Element(f"{{{_SVG}}}{name}")
        element.text, element.tail = text, "\n"
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
