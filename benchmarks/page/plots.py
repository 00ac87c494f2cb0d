"""The plots of the benchmark page, each drawn from a section's figures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.measure.growth import FORMS
from benchmarks.measure.neocell import PATCHWISE
from benchmarks.measure.networks import RIVAL
from benchmarks.measure.operators import KINDS
from neonext_ascend.drawing.style import BLUE, GREY, SERIES, TEXT, axes, draw, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Figures = Mapping[str, Any]
WIDTH, LEFT, RIGHT, BOTTOM, ROW = 760, 232, 24, 48, 20
TOP, PLAIN_TOP = 92, 64  # below a legend; without one
# Heading: what stands below it, each with its rows.
Listed = Mapping[str, Mapping[str, Sequence[Any]]]


def networks(figures: Figures) -> str:
    """Ratios of NeoNeXt to each rival with one thread, by batch."""
    listed: dict[str, dict[str, list[Any]]] = {}
    for row in figures["networks"]:
        if row["ratio"] and row["threads"] == 1:
            rival = row["name"].replace("GELU fused, 1x1 convolutions", "fused, 1x1 conv.")
            name = f"{row['ours'].removeprefix('NeoNeXt-')} / {rival}"
            listed.setdefault(f"batch {row['batch']}", {})[name] = [row]

    def paint(figure: Figure) -> None:
        plot = axes(figure, LEFT, PLAIN_TOP, RIGHT, BOTTOM)
        for y, row in _listed(plot, listed):
            _spread(plot, y, row["ratio"], BLUE if row["name"] == RIVAL else GREY)
        plot.axvline(1, color=TEXT, linewidth=1)
        plot.set_xlabel("time of NeoNeXt over time of the rival")

    title = "NeoNeXt over its rivals, time in ONNX Runtime, one thread"
    subtitle = "median of pairwise ratios and the middle half; left of 1 NeoNeXt is faster"
    return draw(WIDTH, _height(listed, PLAIN_TOP), title, f"{title}; {subtitle}.", paint, subtitle)


def operators(figures: Figures) -> str:
    """Milliseconds an image by kind of operator, stacked."""
    bars: dict[str, dict[str, float]] = {}
    for row in figures["operators"]:
        bar = bars.setdefault(f"{row['network'].split(' ')[0]}, batch {row['batch']}", dict.fromkeys(KINDS, 0.0))
        bar[row["kind"]] += 1e3 * row["seconds"] / row["batch"]

    def paint(figure: Figure) -> None:
        plot = axes(figure, 160, TOP + 44, RIGHT, BOTTOM)
        before = [0.0] * len(bars)
        for kind, colour in zip(KINDS, SERIES, strict=True):
            widths = [bar[kind] for bar in bars.values()]
            plot.barh(list(bars), widths, 0.65, before, color=colour, label=kind)
            before = [start + width for start, width in zip(before, widths, strict=True)]
        plot.grid(visible=False, axis="y")
        plot.invert_yaxis()
        plot.set_xlabel("milliseconds an image")
        figure.legend(loc="upper left", ncols=3, bbox_to_anchor=(16 / WIDTH, 1 - 60 / height), columnspacing=1.2)

    height = TOP + 44 + 40 * len(bars) + BOTTOM
    title, subtitle = "Where the time goes, one thread", "ONNX Runtime's own profile, by kind of operator"
    return draw(WIDTH, height, title, f"{title}: {subtitle}.", paint, subtitle)


def neocell(figures: Figures) -> str:
    """Speed over equation 1 of each form, by stage; one colour a batch."""
    rows = [row for row in figures["cells"] if row["form"] != PATCHWISE]
    batches = sorted({row["batch"] for row in rows})
    listed: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        stage = f"stage {row['stage']}: {row['channels']} x {row['size']} x {row['size']}"
        listed.setdefault(stage, {}).setdefault(row["form"], []).append(row)

    def paint(figure: Figure) -> None:
        plot = axes(figure, LEFT, TOP, RIGHT, BOTTOM)
        for y, row in _listed(plot, listed):
            _spread(plot, y, row["speed_up"], SERIES[batches.index(row["batch"])])
        logarithmic(plot, "x")
        plot.set_xlabel("times equation 1's speed, logarithmic")
        _legend(figure, [f"batch {batch}" for batch in batches])

    title = "One NeoCell: how many times faster than patch by patch (equation 1)"
    subtitle = "stages of NeoNeXt-T, one thread; median and the middle half"
    return draw(WIDTH, _height(listed), title, f"{title}; {subtitle}.", paint, subtitle)


def growth(figures: Figures) -> str:
    """Time over size with the fitted power laws, one panel a sweep."""
    sweeps, height = figures["sweeps"], 500

    def paint(figure: Figure) -> None:
        plots = figure.subplots(1, len(sweeps), sharey=True)
        figure.subplots_adjust(60 / WIDTH, 112 / height, 1 - RIGHT / WIDTH, 1 - 124 / height, wspace=0.1)
        for plot, sweep in zip(plots, sweeps, strict=True):
            values = [point["value"] for point in sweep["points"]]
            for number, (form, colour) in enumerate(zip(FORMS, SERIES, strict=False)):
                fit = sweep["fits"][form]
                law = [fit["factor"] * value ** fit["exponent"] * 1e3 for value in values]
                plot.plot(values, law, "--", color=colour)
                plot.plot(values, [point[form]["median"] * 1e3 for point in sweep["points"]], "o", color=colour)
                text = f"{form}: {fit['exponent']:.2f} / {sweep['predicted'][form]}"
                plot.annotate(text, (0, 0), (0, -44 - 16 * number), "axes fraction", "offset points", color=colour)
            logarithmic(plot, "x")
            plot.set_xticks(values, map(str, values))
            plot.set_title(sweep["title"], fontsize=11)
        logarithmic(plots[0], "y")
        plots[0].set_ylabel("milliseconds")
        _legend(figure, FORMS)

    title = "How the time of one NeoCell grows"
    subtitle = "dots: medians; lines: fitted power laws; exponent fitted / predicted by equations 4 and 5"
    return draw(WIDTH, height, title, f"{title}; {subtitle}.", paint, subtitle)


# section: file of its plot, what it shows, how it is drawn
PLOTS: Mapping[str, tuple[str, str, Callable[[Figures], str]]] = {
    "networks": ("bench_networks.svg", "Ratios of whole networks", networks),
    "operators": ("bench_operators.svg", "Time by kind of operator", operators),
    "neocell": ("bench_neocell.svg", "Speed of one NeoCell in each form", neocell),
    "growth": ("bench_growth.svg", "Time of one NeoCell over its sizes", growth),
}


def _height(listed: Listed, top: int = TOP) -> int:
    return top + ROW * sum(1 + len(below) for below in listed.values()) + BOTTOM


def _listed(plot: Axes, listed: Listed) -> list[tuple[float, Any]]:
    """Name a line for each heading and each entry, from the top down; where each entry's rows belong."""
    names = [name for heading, below in listed.items() for name in (heading, *below)]
    plot.set(ylim=(len(names) - 0.5, -0.5))
    plot.set_yticks(range(len(names)), names)
    plot.grid(visible=False, axis="y")
    for label in plot.get_yticklabels():
        if label.get_text() in listed:
            label.set(color=TEXT, weight="semibold")
    lines = [rows for below in listed.values() for rows in ([], *below.values())]
    return [(float(y), row) for y, rows in enumerate(lines) for row in rows]


def _spread(plot: Axes, y: float, found: Mapping[str, float], colour: str) -> None:
    """Median and middle half."""
    plot.plot([found["lower"], found["upper"]], [y, y], color=colour)
    plot.plot(found["median"], y, "o", color=colour)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="none", label=name)
        for name, colour in zip(names, SERIES, strict=False)
    ]
    place = (16 / WIDTH, 1 - 58 / (figure.get_figheight() * 72))
    figure.legend(handles=handles, ncols=len(names), loc="upper left", bbox_to_anchor=place, handletextpad=0.1)
