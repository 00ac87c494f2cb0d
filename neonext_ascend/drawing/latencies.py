"""Latencies: for each contender its runs as dots, and a box over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neonext_ascend.drawing.style import BLUE, MARGIN, SMALL, SOFT, TEXT, TEXT_SIZE, axes, clean, draw, logarithmic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, TOP, ROW, BOTTOM = 720, 64, 64, 84
MOST_DOTS = 400
# From this ratio of largest to smallest on, the axis is logarithmic.
WIDE = 8
# The golden ratio spreads the dots evenly without a pattern, and equally in every drawing.
_GOLDEN = 0.618034
_CAPTION = "dots: single runs; box: the middle half; line in it: median; whiskers: 5 % to 95 %"


def draw_latencies(names: Sequence[str], seconds: Sequence[Sequence[float]], subtitle: str) -> str:
    """A whole SVG file.

    Args:
        names: one for each contender.
        seconds: its timed runs, at least one each, all above 0.
        subtitle: on what machine and how it was measured.
    """
    runs = [1e3 * np.asarray(each, dtype=np.float64) for each in seconds]
    low, high = min(float(each.min()) for each in runs), max(float(np.percentile(each, 99)) for each in runs)
    wide = high > WIDE * low
    low, high = (low / 1.1, high * 1.1) if wide or high <= low else (low - 0.04 * (high - low), high)

    def paint(figure: Figure) -> None:
        plot = axes(figure, MARGIN, TOP, MARGIN, BOTTOM)
        # From the shortest run to the largest 99th percentile; rarer runs would flatten all others.
        plot.set(xlim=(low, high), ylim=(len(runs) - 0.5, -0.5), yticks=[])
        plot.set_xlabel(f"milliseconds{', logarithmic' if wide else ''}\n{_CAPTION}")
        if wide:
            logarithmic(plot, "x")
        plot.spines["left"].set_visible(False)
        for row, each in enumerate(runs):
            shown = each[np.linspace(0, len(each) - 1, min(MOST_DOTS, len(each)), dtype=int)]
            spread = row + 0.16 + 0.28 * ((np.arange(len(shown)) * _GOLDEN) % 1 - 0.5)
            plot.plot(shown, spread, ".", color=BLUE, alpha=0.45, markersize=4, markeredgewidth=0)
            beyond = int((each > high).sum())
            note = f"{beyond} of {len(each)} runs beyond {high:.3g}" if beyond else ""
            plot.text(0, row - 0.2, clean(names[row]), fontsize=TEXT_SIZE, transform=plot.get_yaxis_transform())
            plot.text(1, row - 0.2, note, color=SOFT, fontsize=SMALL, ha="right", transform=plot.get_yaxis_transform())
        looks = {"color": TEXT, "linewidth": 1.2}
        places = [row + 0.16 for row in range(len(runs))]
        plot.boxplot(
            runs,
            orientation="horizontal",
            positions=places,
            widths=0.28,
            whis=(5, 95),
            showfliers=False,
            showcaps=False,
            manage_ticks=False,
            boxprops=looks,
            whiskerprops=looks,
            medianprops={**looks, "linewidth": 2.4},
        )

    told = f"Runs of {', '.join(names)} in milliseconds. {subtitle}"
    return draw(WIDTH, TOP + ROW * len(names) + BOTTOM, "Latency of one run", told, paint, subtitle)
