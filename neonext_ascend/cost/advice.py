"""What would make a file faster on a chip, and by how much: each piece an estimate like the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from neonext_ascend.cost.timing import Fit, estimate
from neonext_ascend.errors import counted
from neonext_ascend.machine.chips import Soc

if TYPE_CHECKING:
    from neonext_ascend.cost.answer import FileCost

_SMALL = 0.005  # shares and gains below are not worth a word
_HIGH_PERFORMANCE = (
    "ask ATC for its high-performance implementation (op_precision_mode), with which most of the published "
    "transformers behind the estimate were compiled, and hold the OM against the file with verify: what it loses is "
    "not established"
)


@dataclass(frozen=True, slots=True)
class Advice:
    """One change.

    Attributes:
        about: what is changed.
        words: what to do; behind them belongs the speed.
        images_per_second: with it, at the batch that the costs are of or the one that is named.
        factor: that over what it is without; a bound where the words say "at most".
        within_error: whether the factor is smaller than the one by which the estimate itself is missed in the middle.
        more: what else is known of it.
    """

    about: Literal["gelu", "batch", "input"]
    words: str
    images_per_second: float
    factor: float
    within_error: bool
    more: str = ""

    def to_json(self) -> dict[str, Any]:
        """By name."""
        names = ("about", "words", "images_per_second", "factor", "within_error", "more")
        return {name: getattr(self, name) for name in names}


def advise(cost: FileCost, soc: Soc, fit: Fit) -> tuple[Advice, ...]:
    """All that the costs say, GELU first; nothing that gains less than half a per cent."""
    found = (*_gelu(cost, soc, fit), *_batch(cost, fit), *_images(cost, soc, fit))
    return tuple(one for one in found if one.factor >= 1 + _SMALL)


def _gelu(cost: FileCost, soc: Soc, fit: Fit) -> Iterator[Advice]:
    share = cost.shares.get("gelu", 0.0)
    if share < _SMALL:
        return
    works = [operator.work for operator in cost.operators]
    cheap = [replace(work, kind="elementwise") if work.kind == "gelu" else work for work in works]
    after = estimate(cheap, cost.batch, soc, fit)[0].images_per_second
    number = counted(sum(work.kind == "gelu" for work in works), "operator")
    words = f"GELU takes {share:.0%} of the time in {number}; were it no dearer than a Relu: at most"
    yield _advice("gelu", words, after, cost, fit, _HIGH_PERFORMANCE if soc.family == "310P" else "")


def _batch(cost: FileCost, fit: Fit) -> Iterator[Advice]:
    if cost.ladder:
        best = max(cost.ladder, key=lambda one: one.images_per_second)
        yield _advice("batch", f"batch {best.batch} in place of {cost.batch}:", best.images_per_second, cost, fit)


def _images(cost: FileCost, soc: Soc, fit: Fit) -> Iterator[Advice]:
    works = [operator.work for operator in cost.operators]
    rest = [work for work in works if work.kind != "input"]
    if rest and len(rest) < len(works):
        after = estimate(rest, cost.batch, soc, fit)[0].images_per_second
        words = "images as uint8 that AIPP makes ready on the chip (ATC's --insert_op_conf), in place of fp32:"
        yield _advice("input", words, after, cost, fit)


def _advice(
    about: Literal["gelu", "batch", "input"], words: str, after: float, cost: FileCost, fit: Fit, more: str = ""
) -> Advice:
    factor = after / cost.estimates[-1].images_per_second
    return Advice(about, words, after, factor, factor < fit.median_error, more)
