"""A training in words."""

from __future__ import annotations

from neonext_ascend.errors import counted
from neonext_ascend.training.measuring import Measured
from neonext_ascend.training.recipe import Recipe


def training_lines(
    weights: str, best: tuple[str, Measured] | None, measured: Measured | None, recipe: Recipe, seconds: float
) -> list[str]:
    """What came of it.

    Args:
        weights: the last ones.
        best: those that named the most held-out pictures rightly.
        measured: the last ones on the held-out pictures.
        recipe: with what.
        seconds: that it took.
    """
    time = f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds:.0f} s"
    last = "" if measured is None else f", {_right(measured)}"
    lines = [f"{weights}: after {counted(recipe.epochs, 'epoch')} in {time}{last}"]
    return lines if best is None else [*lines, f"{best[0]}: the best, {_right(best[1])}"]


def pace_line(images_per_second: float, waiting: float) -> str:
    """Where the time went."""
    return f"{images_per_second:.0f} images/s, {100 * waiting:.0f} % of the time waiting for pictures"


def _right(measured: Measured) -> str:
    return f"{measured.right:,} of {measured.pictures:,} held-out pictures right ({measured.top1:.2%})"
