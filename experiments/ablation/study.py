"""A plan from its file to what it says: trainings, table and curves, printed or kept in docs/."""

from __future__ import annotations

from pathlib import Path

from experiments.ablation.plan import PLANS, read_plan
from experiments.ablation.results import by_variant, curves, document_of, rows
from experiments.ablation.running import run_all
from experiments.page import IMAGES, keep
from neonext_ascend.training.processes import DeviceName

BUILD = Path(__file__).parent.parent.parent / "build" / "experiments" / "ablation"
# What has curves: the titles of their pictures.
CURVES = {"neoinit_digits": "NeoInit against random normal cells, on digits"}


def study(path: Path, data: str | None, device: DeviceName, kept: bool) -> bool:
    """Whether every training of the plan's first variant came to an end that counts.

    Args:
        path: of the plan.
        data, device: in place of the plan's data, and where to train.
        kept: whether docs/ takes the results.

    Raises:
        FileAccessError, UsageError: the plan or the data cannot be read.
    """
    plan = read_plan(path, data)
    document = document_of(plan, run_all(plan.trainings, BUILD / plan.name, device))
    lines = rows(document)
    print("\n".join(lines))
    if kept:
        keep(plan.name, document, lines)
        if plan.name in CURVES:
            (IMAGES / f"{plan.name}.svg").write_text(curves(document, CURVES[plan.name]), encoding="utf-8")
    return not any(result["diverged"] for result in by_variant(document)[plan.variants[0]])


def study_on_digits(name: str) -> bool:
    """A plan of the kept results, on the CPU, for ``python -m experiments``."""
    return study(PLANS / f"{name}.toml", None, "cpu", kept=True)
