"""What form a network is deployed in."""

from __future__ import annotations

from dataclasses import dataclass

from neonext_ascend.passes.lower_neocell import LoweringRule
from neonext_ascend.spec import Layout, LoweringName


@dataclass(frozen=True, slots=True)
class GraphForm:
    """Layout of the maps, lowering of the NeoCells, and why.

    Args:
        layout: ``(N, C, H, W)`` or ``[C, H, N, W]``.
        lowering: of all NeoCells, or a rule that names each one's.
        reason: of the layout, in words; empty where it was asked for.
    """

    layout: Layout = "nchw"
    lowering: LoweringName | LoweringRule = "blockdiag"
    reason: str = ""
