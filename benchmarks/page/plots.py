"""The plots of the benchmark page, each drawn from a section's figures alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.measure.growth import FORMS
from benchmarks.measure.neocell import PATCHWISE
from benchmarks.measure.networks import RIVAL
from benchmarks.measure.operators import KINDS
from benchmarks.page.drawing import Axis, Drawing

Figures = Mapping[str, Any]
WIDTH, LEFT, RIGHT, TOP = 760, 250, 24, 72
ROW, GAP = 20, 14


def networks(figures: Figures) -> str:
    """Ratios of NeoNeXt to each rival with one thread, by batch."""
    rows = [row for row in figures["networks"] if row["ratio"] and row["threads"] == 1]
    batches = sorted({row["batch"] for row in rows})
    height = TOP + len(batches) * GAP + (len(rows) + len(batches)) * ROW + 52
    ends = [row["ratio"][key] for row in rows for key in ("lower", "upper")]
    axis = Axis(min(0.7, *ends) - 0.02, max(1.1, *ends) + 0.02, LEFT, WIDTH - RIGHT)
    title = "NeoNeXt over its rivals, time in ONNX Runtime, one thread"
    drawing = Drawing(
        WIDTH, height, title, "median of pairwise ratios and the middle half; left of 1 NeoNeXt is faster", title
    )
    _grid(drawing, axis, height - 40, "time of NeoNeXt over time of the rival")
    drawing.line("axis thick", axis(1), TOP - 8, axis(1), height - 40)
    y = float(TOP)
    for batch in batches:
        drawing.text(24, y + 14, f"batch {batch}")
        y += ROW
        for row in (row for row in rows if row["batch"] == batch):
            series = 0 if row["name"] == RIVAL else 4
            name = row["name"].replace("GELU fused, 1x1 convolutions", "fused, 1x1 conv.")
            drawing.text(24, y + 14, f"{row['ours'].removeprefix('NeoNeXt-')} / {name}", "soft")
            drawing.line(
                f"line{series} thick", axis(row["ratio"]["lower"]), y + 10, axis(row["ratio"]["upper"]), y + 10
            )
            drawing.dot(series, axis(row["ratio"]["median"]), y + 10)
            y += ROW
        y += GAP
    return drawing.svg()


def operators(figures: Figures) -> str:
    """Milliseconds an image by kind of operator, stacked."""
    rows = figures["operators"]
    bars: dict[tuple[int, str], dict[str, float]] = {}
    for row in rows:
        bar = bars.setdefault((row["batch"], row["network"]), dict.fromkeys(KINDS, 0.0))
        bar[row["kind"]] += 1e3 * row["seconds"] / row["batch"]
    height = TOP + 56 + len(bars) * 40 + 52
    axis = Axis(0.0, 1.02 * max(sum(bar.values()) for bar in bars.values()), LEFT, WIDTH - RIGHT)
    title = "Where the time goes, one thread"
    drawing = Drawing(WIDTH, height, title, "ONNX Runtime's own profile, by kind of operator", title)
    for line in range(2):
        for place, kind in enumerate(KINDS[4 * line : 4 * line + 4]):
            x = 24 + 180 * place
            drawing.dot(4 * line + place, x + 4, TOP + 4 + 18 * line)
            drawing.text(x + 14, TOP + 8 + 18 * line, kind, "soft")
    top = TOP + 56
    _grid(drawing, axis, height - 40, "milliseconds an image", top)
    for number, ((batch, network), bar) in enumerate(bars.items()):
        y, before = top + 40 * number, 0.0
        drawing.text(24, y + 18, f"{network.split(' ')[0]}, batch {batch}")
        for series, kind in enumerate(KINDS):
            start, end = axis(before), axis(before + bar[kind])
            if bar[kind]:
                drawing.bar(series, start, y, round(end - start, 2), 26)
            before += bar[kind]
    return drawing.svg()


def neocell(figures: Figures) -> str:
    """Speed over equation 1 of each form, by stage; one colour a batch."""
    rows = [row for row in figures["cells"] if row["form"] != PATCHWISE]
    batches = sorted({row["batch"] for row in rows})
    stages: dict[int, dict[str, list[Any]]] = {}
    for row in rows:
        stages.setdefault(row["stage"], {}).setdefault(row["form"], []).append(row)
    lines = sum(len(forms) for forms in stages.values())
    height = TOP + 24 + len(stages) * (GAP + ROW) + lines * ROW + 52
    values = [row["speed_up"][key] for row in rows for key in ("lower", "upper")]
    axis = Axis(min(1.0, *values) / 1.1, max(10.0, *values) * 1.1, LEFT, WIDTH - RIGHT, log=True)
    title = "One NeoCell: how many times faster than patch by patch (equation 1)"
    drawing = Drawing(WIDTH, height, title, "stages of NeoNeXt-T, one thread; median and the middle half", title)
    drawing.legend(28, TOP + 4, [f"batch {batch}" for batch in batches], 90)
    y = TOP + 24.0
    _grid(drawing, axis, height - 40, "times equation 1's speed, logarithmic", y)
    for stage, forms in stages.items():
        first = next(iter(forms.values()))[0]
        drawing.text(24, y + 14, f"stage {stage}: {first['channels']} x {first['size']} x {first['size']}")
        y += ROW
        for form, found in forms.items():
            drawing.text(40, y + 14, form, "soft")
            for row in found:
                series, spread = batches.index(row["batch"]), row["speed_up"]
                drawing.line(f"line{series} thick", axis(spread["lower"]), y + 10, axis(spread["upper"]), y + 10)
                drawing.dot(series, axis(spread["median"]), y + 10)
            y += ROW
        y += GAP
    return drawing.svg()


def growth(figures: Figures) -> str:
    """Time over size with the fitted power laws, one panel a sweep."""
    sweeps = figures["sweeps"]
    panel, space, bottom = 232, 20, 400
    width = 24 + len(sweeps) * (panel + space)
    title = "How the time of one NeoCell grows"
    subtitle = "dots: medians; lines: fitted power laws; exponent fitted / predicted by equations 4 and 5"
    drawing = Drawing(width, 490, title, subtitle, title)
    drawing.legend(28, 72, list(FORMS), 130)
    every = [point[form]["median"] * 1e3 for sweep in sweeps for point in sweep["points"] for form in FORMS]
    y = Axis(min(every) / 1.3, max(every) * 1.3, bottom, 118, log=True)
    for number, sweep in enumerate(sweeps):
        left = 48 + number * (panel + space)
        values = [point["value"] for point in sweep["points"]]
        x = Axis(min(values) / 1.15, max(values) * 1.15, left, left + panel - 30, log=True)
        drawing.text(left, 104, sweep["title"], "soft")
        for tick in y.ticks():
            drawing.line("grid", left, y(tick), left + panel - 30, y(tick))
            if number == 0:
                drawing.text(left - 6, y(tick) + 4, f"{tick:g}", "soft", "end")
        for value in values:
            drawing.line("axis", x(value), bottom, x(value), bottom + 4)
            drawing.text(x(value), bottom + 18, f"{value}", "soft", "middle")
        for series, form in enumerate(FORMS):
            fit = sweep["fits"][form]
            ends = [fit["factor"] * value ** fit["exponent"] * 1e3 for value in (values[0], values[-1])]
            drawing.line(f"line{series} dashed", x(values[0]), y(ends[0]), x(values[-1]), y(ends[1]))
            for point in sweep["points"]:
                drawing.dot(series, x(point["value"]), y(point[form]["median"] * 1e3))
            text = f"{form}: {fit['exponent']:.2f} / {sweep['predicted'][form]}"
            drawing.text(left, bottom + 40 + 16 * series, text, "soft")
    drawing.text(12, 104, "ms", "soft")
    return drawing.svg()


# section: file of its plot, what it shows, how it is drawn
PLOTS: Mapping[str, tuple[str, str, Callable[[Figures], str]]] = {
    "networks": ("bench_networks.svg", "Ratios of whole networks", networks),
    "operators": ("bench_operators.svg", "Time by kind of operator", operators),
    "neocell": ("bench_neocell.svg", "Speed of one NeoCell in each form", neocell),
    "growth": ("bench_growth.svg", "Time of one NeoCell over its sizes", growth),
}


def _grid(drawing: Drawing, axis: Axis, bottom: float, label: str, top: float = TOP) -> None:
    for tick in axis.ticks():
        drawing.line("grid", axis(tick), top - 8, axis(tick), bottom)
        drawing.text(axis(tick), bottom + 16, f"{tick:.4g}", "soft", "middle")
    drawing.text((axis.start + axis.end) / 2, bottom + 34, label, "soft", "middle")
