"""A figure of each node of a network, in the order of computation: error by depth, headroom by depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neonext_ascend.drawing.style import (
    BLUE,
    EDGE,
    GREEN,
    MARGIN,
    ORANGE,
    PINK,
    SOFT,
    TEXT_SIZE,
    axes,
    clean,
    draw,
    logarithmic,
)
from neonext_ascend.errors import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, TOP, LEFT, BOTTOM = 720, 300, 40, 72, 52
_LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"))
_LONGEST = 60  # of a name, in characters
# Of errors: what is beyond stands at the edge, where all others can still be told apart.
_LEAST, _MOST = 1e-12, 1e12
# A logarithmic axis where nothing is above 0.
_NOTHING = (1e-8, 1.0)


def draw_by_depth(
    title: str,
    names: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    label: str,
    limit: float | None = None,
    error: bool = False,
) -> str:
    """A whole SVG file.

    Args:
        title: what is drawn.
        names: of the nodes.
        series: one to three; for each node a number, or ``None`` where it has none.
        label: what the numbers are, with their unit.
        limit: a line; what is beyond it is marked.
        error: whether the numbers are errors, on a logarithmic axis where 0 has no place; the largest is named. Of
            others the smallest is.
    """
    shown = [[_number(value, error) for value in values] for values in series.values()]
    known = [value for values in shown for value in values if not math.isnan(value)]
    worst = (max if error else min)(known, default=None)

    def paint(figure: Figure) -> None:
        plot = axes(figure, LEFT, TOP, MARGIN, BOTTOM)
        plot.set(xlim=(-0.5, max(len(names), 1) - 0.5), xlabel="node, in the order of computation", ylabel=label)
        if error:
            low, high = (_placed(min(known), error), _placed(max(known), error)) if known else _NOTHING
            room = max(high / low, 10.0) ** 0.2  # for the words
            plot.set_ylim(low / 2, high * room)
            logarithmic(plot, "y")
        elif known:
            low, high = min(*known, limit or 0.0), max(*known, limit or 0.0)
            plot.set_ylim(low - 0.1 * (high - low or 1), high + 0.15 * (high - low or 1))
        if limit is not None:
            plot.axhline(limit, color=PINK, linewidth=1.2)
        for (name, values), numbers, (colour, marker) in zip(series.items(), shown, _LOOKS, strict=False):
            told = f"{name}: none above 0" if error and all(map(math.isnan, numbers)) else name
            looks: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.0}
            plot.plot(range(len(values)), [_placed(n, error) for n in numbers], label=clean(told), **looks)
        plot.legend(loc="upper left", bbox_to_anchor=(0, 1.14), ncols=len(series), borderaxespad=0, labelcolor=SOFT)
        if worst is not None:
            _name_worst(figure, names, shown, worst, error)

    words = "no number" if worst is None else f"{'largest' if error else 'smallest'} {worst:.3g}"
    return draw(WIDTH, HEIGHT, title, f"{label} of {counted(len(names), 'node')}: {', '.join(series)}; {words}.", paint)


def _name_worst(
    figure: Figure, names: Sequence[str], shown: Sequence[Sequence[float]], worst: float, error: bool
) -> None:
    (plot,) = figure.axes
    place = next(values.index(worst) for values in shown if worst in values)
    name = names[place] if len(names[place]) <= _LONGEST else f"...{names[place][-_LONGEST:]}"
    left = place < len(names) / 2
    plot.annotate(
        clean(f"{name}: {worst:.2g}"),
        (place, _placed(worst, error)),
        xytext=(8 if left else -8, 10 if error else -14),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=TEXT_SIZE - 1,
        arrowprops={"arrowstyle": "-", "color": EDGE},
    )


def _number(value: float | None, error: bool) -> float:
    """As matplotlib leaves it out where there is none."""
    return math.nan if value is None or not math.isfinite(value) or (error and value <= 0) else value


def _placed(number: float, error: bool) -> float:
    """Where a number stands; none stays none."""
    return min(max(number, _LEAST), _MOST) if error and not math.isnan(number) else number
