"""The page on training: its modules, whole steps against a rival's, and how long a step waits for its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.page.parts import Figures, cpu_text, paragraph, percent, spread, table
from benchmarks.sections import Document


def modules(figures: Figures) -> list[str]:
    """Training speed of the modules: the rows as they are."""
    rows = figures["rows"]
    if not rows:
        return []
    heads = list(rows[0])
    body = [[_cell(row.get(name, "")) for name in heads] for row in rows]
    names = [name.replace("_", " ") for name in heads]
    return ["## Training speed of the modules", "", *_TRAINING, "", *table(names, body)]


_TRAINING = (
    "A step, forward and backward, eager, in fp32 on the CPU. *Plain* is what one writes first: A and B by one gather,",
    "and `A @ X @ B` as broadcast matmuls, which repeat A and B for each image; *ours* is the package's layer. *Kept*",
    "are the bytes that the forward pass keeps for the backward pass. A ratio below 1 means that ours is slower there.",
)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return spread(value, 4) if "median" in value else ", ".join(f"{k} {_cell(v)}" for k, v in value.items())
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def step(document: Document) -> list[str]:
    """A training step of a whole network, against the rival's in the same form."""
    figures = document["figures"]
    rows = [
        [
            f"{row['network']}, {row['form']}",
            f"{1e3 * row['seconds']['median']:.0f} ({1e3 * row['seconds']['lower']:.0f} to "
            f"{1e3 * row['seconds']['upper']:.0f})",
            f"{row['images_per_second']:.2f}",
            spread(row["over_eager"]) if row["over_eager"]["upper"] != row["over_eager"]["lower"] else "",
            spread(row["over_rival"]),
        ]
        for row in figures["rows"]
    ]
    heads = ["one thread", "ms", "images/s", "over its eager form", "NeoNeXt-T over ConvNeXt-T, same form"]
    return [
        "## A training step",
        "",
        *paragraph(
            f"Forward, cross-entropy and backward of {figures['batch']} pictures of 224 x 224, fp32, one thread of "
            f"{cpu_text(document['machine'])}, {figures['repeats']} samples of each in turns; without the optimiser. "
            f"**Processor time**, not wall time: {_busy(document)}. Loss and derivatives of the compiled form "
            "(`torch.compile`, inductor) are those of the eager one. ConvNeXt-T has its linear layers, as its authors "
            "wrote it."
        ),
        *table(heads, rows),
    ]


def waiting(document: Document) -> list[str]:
    """The share of a training that waits for pictures."""
    figures = document["figures"]
    rows = [
        [
            row["network"],
            str(row["images"]),
            f"{row['images_per_second']:.1f}",
            percent(row["waiting"]),
            f"{row['picture_ms']:.1f}",
        ]
        for row in figures["rows"]
    ]
    width, height = figures["sides"]
    *others, last = figures["photographs"]
    return [
        "## Waiting for pictures",
        "",
        *paragraph(
            f"`train` with {figures['workers']} workers and the paper's recipe (random crop, flip, RandAugment, mixup "
            f"or CutMix, erasing) at batch {figures['batch']}, behind the first epoch, on JPEG files of "
            f"{width} x {height} pixels and {figures['kilobytes']:.0f} KB that are cut from photographs "
            f"({', '.join(others)} of scikit-learn, {last} of matplotlib). Workers and network share "
            f"{document['machine']['cores']} cores. Times are wall time, and {_busy(document)}. The last column is "
            "processor time, network aside: a worker with a core of its own gives at most 1000 over it a second."
        ),
        *table(["network", "pictures", "images/s", "time spent waiting", "ms to decode and augment one"], rows),
    ]


def _busy(document: Document) -> str:
    load, cores = document["machine"]["load"], document["machine"]["cores"]
    if load <= cores:
        return "the machine had little else to do"
    return f"the machine was busy with other work (load {load:.0f} on {cores} cores)"
