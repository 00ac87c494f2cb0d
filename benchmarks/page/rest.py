"""The page on exports, on the benchmark command itself, and on a GPU."""

from __future__ import annotations

from benchmarks.measure.export_once import EXPORTERS
from benchmarks.page.parts import Figures, milliseconds, paragraph, spread, table


def export_cost(figures: Figures) -> list[str]:
    """Time and memory of an export."""
    rows = []
    for model, found in figures["models"].items():
        for exporter in EXPORTERS:
            one = found[exporter]
            megabytes = [f"{one[key] / 1e6:.0f}" for key in ("weights_bytes", "imported_bytes", "peak_bytes")]
            times = [spread(one[f"{step}_seconds"]) for step in ("export", "processor")]
            rows.append([f"{model}, {exporter}", *megabytes, f"{one['memory']:.2f}", *times])
    heads = ["export", "weights, MB", "imports, MB", "peak, MB", "over weights", "seconds", "CPU seconds"]
    speed = "; ".join(
        f"{model}: {spread(found['speed_up']['export'], 1)}" for model, found in figures["models"].items()
    )
    return [
        "## Time and memory of an export",
        "",
        *paragraph(
            f"Ours, everything folded, against `torch.onnx.export` of the same network as it is; {figures['repeats']} "
            "of each, each in a process of its own. *Over weights*: peak above the imports, the network included, in "
            "multiples of the weights."
        ),
        *table(heads, rows),
        f"Torch's time over ours: {speed}.",
        "",
    ]


def same_twice(figures: Figures) -> list[str]:
    """How often the interval of the benchmark command holds 1."""
    ratios = figures["ratios"]
    widest = max(abs(ratio["median"] - 1) for ratio in ratios)
    return [
        "## The same artifact twice",
        "",
        *paragraph(
            f"`neonext-ascend benchmark` given one file twice, {figures['seconds']:g} seconds of runs each time: its "
            f"95 % interval holds 1 in {figures['held']} of {len(ratios)} runs; the ratio farthest from 1 is off by "
            f"{100 * widest:.1f} %."
        ),
    ]


def int8(figures: Figures) -> list[str]:
    """Int8 over float32 on the CPU."""
    rows = [
        [
            f"{row['model']}, batch {row['batch']}",
            *(milliseconds(row["seconds"][form]["median"]) for form in ("fp32", "int8")),
            spread(row["ratio"]),
        ]
        for row in figures["rows"]
    ]
    return [
        "## Int8 on the CPU",
        "",
        *paragraph(
            "The QDQ file of `export --dtype int8` over the float32 file, in ONNX Runtime, one thread. It computes a "
            "Conv whose result is not quantised again in float32, so that int8 only adds work there: it is for the "
            "card."
        ),
        *table(["", "float32, ms", "int8, ms", "int8 over float32"], rows),
    ]


def cuda(figures: Figures) -> list[str]:
    """The fused kernel, or that it was not run."""
    lines = ["## On a GPU", ""]
    if not figures["ran"]:
        return [*lines, f"Not run: {figures['why']}. Nothing on this page was measured on a GPU or an NPU.", ""]
    lines += [f"{figures['device']}, batch {figures['batch']}; microseconds, and the time over the fused kernel's.", ""]
    labels = list(dict.fromkeys((row["dtype"], row["pass"]) for row in figures["rows"]))
    for dtype, direction in labels:
        rows = [row for row in figures["rows"] if (row["dtype"], row["pass"]) == (dtype, direction)]
        stages = sorted({row["stage"] for row in rows})
        heads = [f"{dtype}, {direction}"] + [text for s in stages for text in (f"stage {s}, us", "over fused")]
        by_form: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda row: int(row["stage"])):
            cells = by_form.setdefault(row["form"], [row["form"]])
            cells += [f"{row['seconds']['median'] * 1e6:.1f}", spread(row["over_fused"])]
        lines += table(heads, list(by_form.values()))
    return lines
