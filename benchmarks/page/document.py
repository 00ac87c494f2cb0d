"""Write ``docs/benchmarks.md`` and its plots from the JSON files of the benchmarks, and from nothing else.

python -m benchmarks.page.document [--root DIR]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.page import cells as page_cells
from benchmarks.page import networks as page_networks
from benchmarks.page import rest as page_rest
from benchmarks.page import training as page_training
from benchmarks.page.parts import bounds, commands, head
from benchmarks.page.plots import PLOTS
from benchmarks.sections import ROOT, Document, read_documents

PAGE, IMAGES = Path("docs") / "benchmarks.md", Path("docs") / "images"
Documents = Mapping[str, Document]

# What each section puts on the page, in order.
_PARTS: Mapping[str, Callable[[Documents], list[str]]] = {
    "networks": page_networks.networks,
    "operators": lambda documents: page_networks.operators(documents["operators"]["figures"]),
    "neocell": lambda documents: page_cells.neocell(documents["neocell"]),
    "growth": lambda documents: page_cells.growth(documents["growth"]["figures"]),
    "export_cost": lambda documents: page_rest.export_cost(documents["export_cost"]["figures"]),
    "same_twice": lambda documents: page_rest.same_twice(documents["same_twice"]["figures"]),
    "int8": lambda documents: page_rest.int8(documents["int8"]["figures"]),
    "training": lambda documents: page_training.modules(documents["training"]["figures"]),
    "training_step": lambda documents: page_training.step(documents["training_step"]),
    "feeding": lambda documents: page_training.waiting(documents["feeding"]),
    "cuda": lambda documents: page_rest.cuda(documents["cuda"]["figures"]),
}


def page(documents: Documents) -> str:
    """The whole page; a section without a document is left out."""
    lines = [*head(documents), *bounds(documents)]
    for name, part in _PARTS.items():
        if name in documents:
            lines += part(documents)
    return "\n".join([*lines, *commands(documents)]).rstrip() + "\n"


def pictures(documents: Documents) -> dict[str, str]:
    """File name -> SVG of each plot."""
    return {file: draw(documents[name]["figures"]) for name, (file, _, draw) in PLOTS.items() if name in documents}


def main() -> int:
    """Write the page and the plots."""
    parser = argparse.ArgumentParser(prog="benchmarks.page.document", description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="of benchmarks/results and docs")
    root: Path = parser.parse_args().root
    documents = read_documents(root)
    (root / IMAGES).mkdir(parents=True, exist_ok=True)
    (root / PAGE).write_text(page(documents), encoding="utf-8")
    for file, drawn in pictures(documents).items():
        (root / IMAGES / file).write_text(drawn, encoding="utf-8")
    print(f"wrote {root / PAGE} and {len(pictures(documents))} plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
