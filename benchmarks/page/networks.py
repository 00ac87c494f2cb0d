"""The page on whole networks: times, the floor, the profile, and what a missed bound is owed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure.floor import LEAST_SHARE, Floor, remaining_ratio
from benchmarks.measure.networks import GROUPS, LARGEST_RATIO, RIVAL, T
from benchmarks.measure.operators import EDGES, HEAD, KINDS, MIXING, MOVING, POINTWISE
from benchmarks.page.parts import Figures, milliseconds, paragraph, percent, picture, spread, table, wrapped
from benchmarks.page.plots import PLOTS
from benchmarks.rivals.table import WHY_WRITTEN_OUT
from benchmarks.sections import Document

STAGES = ("1", "2", "3", "4", HEAD)
Row = Mapping[str, Any]


def networks(documents: Mapping[str, Document]) -> list[str]:
    """Times and ratios, the floor, and the bounds that are missed."""
    document = documents["networks"]
    figures = document["figures"]
    lines = [
        "## Whole networks",
        "",
        *paragraph(
            "224 x 224 pixels, fp32, random weights of order 1, ONNX Runtime on the CPU. NeoNeXt as this package "
            "exports it (folded, NCHW; T also in CHNW); the others as torch's own exporter gives them, ConvNeXt-T "
            "also with its GELU in the order that ONNX Runtime fuses, and with 1x1 convolutions for its linear "
            f"layers. All outputs were checked against PyTorch first. {WHY_WRITTEN_OUT} and told by their number of "
            "parameters."
        ),
        *picture(*PLOTS["networks"][:2]),
    ]
    for threads in sorted({row["threads"] for row in figures["networks"]}):
        lines += _times([row for row in figures["networks"] if row["threads"] == threads], threads)
    return [*lines, *_floor(figures), *_misses(documents)]


def operators(figures: Figures) -> list[str]:
    """The profile by kind and stage."""
    rows = figures["operators"]
    lines = [
        "## Where the time goes",
        "",
        *paragraph(
            "ONNX Runtime's own profile of one run with one thread, in milliseconds; ConvNeXt-T as exported. "
            "NeoNeXt's residual sums have no line of their own: ONNX Runtime adds them inside the convolution before."
        ),
        *picture(*PLOTS["operators"][:2]),
    ]
    for batch in sorted({row["batch"] for row in rows}):
        for network in (T.title, RIVAL):
            found = [row for row in rows if row["batch"] == batch and row["network"] == network]
            lines += _profile(found, f"{network}, batch {batch}")
    return lines


def mixing_share(figures: Figures, network: str, batch: int) -> float | None:
    """What part of a network's profile NeoCell (or the depthwise convolution) takes."""
    rows = [row for row in figures["operators"] if row["batch"] == batch and row["network"] == network]
    total = sum(row["seconds"] for row in rows)
    return sum(row["seconds"] for row in rows if row["kind"] == MIXING) / total if total else None


def _times(rows: Sequence[Row], threads: int) -> list[str]:
    batches = sorted({row["batch"] for row in rows})
    heads = [f"{threads} thread{'s' * (threads > 1)}"]
    for batch in batches:
        heads += [f"batch {batch}, ms", "NeoNeXt over it"]
    lines = []
    for group in GROUPS:
        for name in (group.title, *group.rivals):
            by_batch = {row["batch"]: row for row in rows if row["ours"] == group.title and row["name"] == name}
            if by_batch:
                cells = [f"**{name}**" if name == group.title else name]
                for batch in batches:
                    row = by_batch[batch]
                    cells += [milliseconds(row["seconds"]["median"]), spread(row["ratio"])]
                lines.append(cells)
    return table(heads, lines)


def _floor(figures: Figures) -> list[str]:
    rows = []
    for row in figures["floors"]:
        floor = _floor_of(row)
        numbers = [milliseconds(seconds) for seconds in (floor.products, floor.gelu, floor.seconds, row["measured"])]
        peak = f"{floor.gemm_peak / 1e9:.1f}"
        rows.append(
            [str(row["batch"]), f"{floor.macs / 1e9:.2f}", peak, *numbers, percent(floor.share(row["measured"]))]
        )
    heads = [
        "batch",
        "useful GMAC",
        "peak, GMAC/s",
        "products, ms",
        "GELU, ms",
        "floor, ms",
        "NeoNeXt-T, ms",
        "reached",
    ]
    return [
        *paragraph(
            "The floor of NeoNeXt-T: its useful products (block-sparse) at the machine's GEMM peak, measured in the "
            "same turns by a large MatMul in ONNX Runtime with one thread (its fastest sample), plus its GELU at "
            f"their own rate. At least {percent(LEAST_SHARE)} of it must be reached."
        ),
        *table(heads, rows),
    ]


def _misses(documents: Mapping[str, Document]) -> list[str]:
    """By what each missed bound is missed, from the figures alone."""
    figures, lines = documents["networks"]["figures"], list[str]()
    limits = {b["what"]: b for b in documents["networks"]["bounds"] if not b["holds"]}
    profile = documents.get("operators", {"figures": {"operators": []}})["figures"]
    for row in figures["networks"]:
        missed = row["name"] == RIVAL and row["threads"] == 1 and row["batch"] in LARGEST_RATIO
        bound = next((b for what, b in limits.items() if f"over {RIVAL}, batch {row['batch']}," in what), None)
        if missed and bound:
            lines += wrapped(f"- {_ratio_missed(row, bound, figures, profile)}", "  ")
    short = [row for row in figures["floors"] if _floor_of(row).share(row["measured"]) < LEAST_SHARE]
    lines += [line for row in short for line in wrapped(f"- {_floor_missed(row, profile)}", "  ")]
    return ["Bounds that are missed, and by what:", "", *lines, ""] if lines else []


def _ratio_missed(row: Row, bound: Row, figures: Figures, profile: Figures) -> str:
    batch, ratio = row["batch"], row["ratio"]["median"]
    text = f"Batch {batch}: {ratio:.3f} of ConvNeXt-T's time where {bound['limit']:g} is asked for."
    share = mixing_share(profile, T.title, batch)
    if share is not None:
        left = remaining_ratio(ratio, share)
        text += f" NeoCell is {percent(share)} of the run; if it cost nothing, {left:.2f} would remain."
    for floor in (f for f in figures["floors"] if f["batch"] == batch):
        least = (floor["pointwise"] / floor["gemm_peak"] + floor["gelu"]) / row["seconds"]["median"]
        verdict = (
            "even that misses the bound" if least > bound["limit"] else "less than that cannot be had on this machine"
        )
        text += (
            f" If everything but the pointwise products at GEMM peak and GELU cost nothing, {least:.3f} would remain; "
            f"{verdict}."
        )
    return text


def _floor_missed(row: Row, profile: Figures) -> str:
    batch, floor = row["batch"], _floor_of(row)
    over = row["measured"] - floor.seconds
    text = f"Batch {batch}: {percent(floor.share(row['measured']))} of the floor, {milliseconds(over)} ms over it."
    rows = [r for r in profile["operators"] if r["batch"] == batch and r["network"] == T.title]
    if rows:
        by_kind = {kind: sum(r["seconds"] for r in rows if r["kind"] == kind) for kind in KINDS}
        ideal = row["pointwise"] / row["gemm_peak"]
        # The profile's edges are pointwise products too: stem, down-sampling and classifier.
        products = by_kind[POINTWISE] + by_kind[EDGES]
        worth = (row["macs"] - row["pointwise"]) / row["gemm_peak"]
        text += (
            f" In the profile, pointwise products, stem and down-sampling take {milliseconds(products)} ms, "
            f"{percent(ideal / products)} of GEMM peak; NeoCell {milliseconds(by_kind[MIXING])} ms for useful products "
            f"worth {milliseconds(worth)} ms; reorders {milliseconds(by_kind[MOVING])} ms."
        )
    return text


def _floor_of(row: Row) -> Floor:
    return Floor(row["macs"], row["gemm_peak"], row["gelu"])


def _profile(rows: Sequence[Row], title: str) -> list[str]:
    total = sum(row["seconds"] for row in rows)
    lines = []
    for kind in KINDS:
        found = {row["stage"]: row for row in rows if row["kind"] == kind}
        if found:
            seconds = sum(row["seconds"] for row in found.values())
            operators = ", ".join(next(iter(found.values()))["operators"])
            cells = [milliseconds(found[s]["seconds"]) if s in found else "" for s in STAGES]
            lines.append([f"{kind} ({operators})", *cells, milliseconds(seconds), percent(seconds / total)])
    heads = [title, *(f"stage {s}" if s != HEAD else s for s in STAGES), "sum", "share"]
    return table(heads, [*lines, ["sum", *[""] * len(STAGES), milliseconds(total), ""]])
