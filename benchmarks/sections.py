"""The benchmarks that ``python -m benchmarks.run`` runs, in order: modules of ``measure/``, which leave their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path("benchmarks") / "results"
SECTIONS = (
    "networks",
    "operators",
    "neocell",
    "growth",
    "export_cost",
    "same_twice",
    "int8",
    "training",
    "training_step",
    "feeding",
    "cuda",
)

Document = dict[str, Any]


def read_documents(root: Path) -> dict[str, Document]:
    """The committed or new documents by section; those that are not there are left out."""
    paths = {name: root / RESULTS / f"{name}.json" for name in SECTIONS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}
