"""What came of a plan: one document of all its trainings, and what the page makes of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure.machine import describe_machine
from benchmarks.page.parts import table
from experiments.ablation.plan import Plan
from experiments.ablation.running import Result
from neonext_ascend.drawing.style import SERIES, axes, draw

Document = Mapping[str, Any]


def document_of(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    """Everything that is told of a plan, as it is committed.

    Args:
        plan: the plan.
        results: one for each of its trainings.
    """
    return {"plan": plan.name, "machine": describe_machine(), "trainings": list(results)}


def by_variant(document: Document) -> dict[str, list[Result]]:
    """Its results, in the plan's order."""
    found: dict[str, list[Result]] = {}
    for result in document["trainings"]:
        found.setdefault(result["variant"], []).append(result)
    return found


def top1(results: Sequence[Result]) -> list[float]:
    """Percent right on the held-out pictures, of those trainings that did not diverge."""
    return [100 * result["right"] / result["pictures"] for result in results if not result["diverged"]]


def difference(first: Sequence[Result], other: Sequence[Result]) -> tuple[float, float] | None:
    """By how many points the other is better, and half of the interval that holds the truth in 95 of 100 cases.

    Of pairs with the same seed, which see the same pictures in the same order; by Student's t. ``None`` with fewer than
    two pairs of which neither diverged.
    """
    from scipy import stats

    good = [{r["seed"]: r for r in results if not r["diverged"]} for results in (first, other)]
    seeds = sorted(good[0].keys() & good[1].keys())
    if len(seeds) < 2:
        return None
    gained = [b - a for a, b in zip(*(top1([held[seed] for seed in seeds]) for held in good), strict=True)]
    half = float(stats.t.ppf(0.975, len(seeds) - 1)) * statistics.stdev(gained) / len(seeds) ** 0.5
    return statistics.mean(gained), half


def rows(document: Document) -> list[str]:
    """A Markdown table, a line for each variant."""
    found = by_variant(document)
    first = next(iter(found.values()))
    lines = []
    for variant, results in found.items():
        good = top1(results)
        losses = [result["loss"] for result in results if not result["diverged"]]
        gain = None if results is first else difference(first, results)
        lines.append(
            [
                variant,
                f"{results[0]['parameters']:,}",
                f"{statistics.mean(good):.2f}" if good else "",
                f"{statistics.stdev(good):.2f}" if len(good) > 1 else "",
                f"{min(good):.2f} to {max(good):.2f}" if good else "",
                f"{statistics.mean(losses):.4f}" if losses else "",
                f"{gain[0]:+.2f} ± {gain[1]:.2f}" if gain else "",
                f"{sum(result['diverged'] for result in results)} of {len(results)}",
            ]
        )
    heads = ["", "parameters", "top-1 %, mean", "spread", "from, to", "loss, mean", "against the first", "diverged"]
    return table(heads, lines)


def curves(document: Document, title: str) -> str:
    """Held-out accuracy by epoch: a thin line for each training, a thick one for the mean of a variant."""
    found = by_variant(document)

    def paint(figure: Any) -> None:
        plot = axes(figure, 64, 84, 24, 56)
        for colour, (variant, results) in zip(SERIES, found.items(), strict=False):
            lines = [[100 * share for share in result["top1_by_epoch"]] for result in results]
            for line in lines:
                plot.plot(range(1, len(line) + 1), line, color=colour, linewidth=0.8, alpha=0.4)
            whole = [line for line in lines if len(line) == max(map(len, lines))]
            mean = [statistics.mean(values) for values in zip(*whole, strict=True)]
            plot.plot(range(1, len(mean) + 1), mean, "o-", color=colour, label=variant)
        plot.set_xlabel("epoch")
        plot.set_ylabel("held-out pictures named rightly, %")
        plot.set_xticks(range(1, max(len(r["top1_by_epoch"]) for r in document["trainings"]) + 1))
        plot.legend(loc="lower right")

    seeds = len(next(iter(found.values())))
    told = "; ".join(f"{variant}: {[result['top1_by_epoch'] for result in held]}" for variant, held in found.items())
    subtitle = f"thin: each of {seeds} seeds; thick: their mean"
    return draw(720, 400, title, told, paint, subtitle)
