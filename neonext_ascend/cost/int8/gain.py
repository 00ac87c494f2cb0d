"""What int8 brings a graph on a chip over the same graph in fp16, before anybody quantises it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from neonext_ascend.cost.counting import operators, total
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.timing import Estimate, estimate, find_fit, find_int8_fit
from neonext_ascend.machine.chips import Soc

# Revisions of one and the same published page differ by this factor in the middle (docs/cost.md).
WORTH = 1.08
Verdict = Literal["worth it", "a gain within the estimate's own error", "not worth it"]


@dataclass(frozen=True, slots=True)
class Int8Gain:
    """At one batch.

    Attributes:
        half, int8: the graph in fp16, and with these products in int8.
        products: that are in int8.
        share: of the multiplications that are theirs.
        quantisers: operators of their own that quantise a value.
        made: whether the file is in int8; else it is every product that can be.
    """

    half: Estimate
    int8: Estimate
    products: int
    share: float
    quantisers: int
    made: bool

    @property
    def factor(self) -> float:
        """Times as fast as in fp16."""
        return self.int8.images_per_second / self.half.images_per_second

    @property
    def low(self) -> float:
        """Of the factor: by the errors of int8 speeds, as no page has both."""
        return self.int8.low / self.half.images_per_second

    @property
    def high(self) -> float:
        """Likewise."""
        return self.int8.high / self.half.images_per_second

    @property
    def verdict(self) -> Verdict:
        """Not worth it below what no card would show; worth it where the whole interval is a gain."""
        if self.factor < WORTH:
            return "not worth it"
        return "worth it" if self.low > 1 else "a gain within the estimate's own error"

    def to_json(self) -> dict[str, Any]:
        """By name."""
        names = ("factor", "low", "high", "verdict", "products", "share", "quantisers", "made")
        told = {name: getattr(self, name) for name in names}
        return {"batch": self.int8.batch, **told, "images_per_second": self.int8.images_per_second}


def int8_gain(flow: Flow, products: Collection[str], soc: Soc, *, made: bool) -> Int8Gain | None:
    """What int8 brings; ``None`` where no published int8 figure is of this chip.

    Args:
        flow: in floating point, its batch bound.
        products: results of those in int8, as :mod:`~neonext_ascend.cost.int8.plain` finds them.
        soc: the chip.
        made: whether the file is in int8.
    """
    half, whole = find_fit(soc.name), find_int8_fit(soc.name)
    before, after = ([one.work for one in operators(flow, some)] for some in ((), products))
    if half is None or whole is None or not before:
        return None
    return Int8Gain(
        estimate(before, flow.batch, soc, half)[0],
        estimate(after, flow.batch, soc, whole)[0],
        sum(work.int8 for work in after),
        total((work for work in after if work.int8), "dense") / max(total(after, "dense"), 1),
        sum(work.kind == "quantise" for work in after),
        made,
    )


def int8_note(soc: Soc) -> str:
    """What that rests on, or why nothing is told."""
    fit = find_int8_fit(soc.name)
    if fit is None:
        return f"what int8 would bring is not told: no int8 figure of {soc.name} is published that one could go by"
    return f"int8 is {fit.words}; all of them with AIPP"
