"""Why an operator of the estimate is one operator, and where that is from: each rule as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neonext_ascend.cost.counting import Operator
from neonext_ascend.cost.rules import PRODUCTS
from neonext_ascend.runtimes.spelled import SPELLINGS


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule.

    Attributes:
        rule: its name.
        words: what it says.
        source: what speaks for it.
    """

    rule: str
    words: str
    source: str


_FIT = "a model of a closed compiler; what speaks for it is the fit on published figures (docs/cost.md)"

REASONS: Mapping[str, Reason] = {
    reason.rule: reason
    for reason in (
        Reason(
            "input",
            "images come as fp32, pixel by pixel; making them fp16 in blocks of channels is an operator, without AIPP",
            "published rows with AIPP and without it (tools/cost/published.csv)",
        ),
        Reason(
            "product",
            "a product takes BatchNorm, bias, a residual sum and an activation with it; its sides are filled up to "
            "16 x 16 x 16, the cube unit's fractal by the vendor's platform files (hicann/runtime)",
            _FIT,
        ),
        Reason(
            "narrow",
            "narrow groups of a convolution are taken together until they fill a block of 16 channels, zeros between",
            _FIT,
        ),
        Reason(
            "function",
            "nodes that spell one function are one operator; of GELU the figures fit one and five alike",
            _FIT,
        ),
        Reason(
            "int8",
            "a product in int8: filled up to 16 x 32 x 16; on the way out its results come back, and to int8 again "
            "where an int8 product reads them",
            "published int8 rows, which quantising by operators of their own misses by more (docs/cost.md)",
        ),
        Reason(
            "quantise",
            "a value that no int8 product gives is quantised by an operator of its own, once for all that read it",
            "the deploy form has it so (hicann/amct)",
        ),
        Reason("activation", "an element-wise operator takes the activation behind it with it", _FIT),
        Reason("node", "a node of its own", _FIT),
        Reason("unknown", "no rule knows it: counted by its bytes alone", "none"),
    )
}


def reason_of(operator: Operator) -> Reason:
    """The rule that made it one."""
    kind = operator.work.kind
    if kind in ("input", "unknown", "quantise"):
        return REASONS[kind]
    if operator.work.int8:
        return REASONS["int8"]
    if kind in ("depthwise", "grouped"):
        return REASONS["narrow"]
    if operator.what in PRODUCTS:
        return REASONS["product"]
    if operator.what in _SPELT and len(operator.nodes) > 1:
        return REASONS["function"]
    return REASONS["activation" if len(operator.nodes) > 1 else "node"]


_SPELT = frozenset(name for name, _ in SPELLINGS.values())
