"""The form that a network is deployed in, and how one is chosen among estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from neonext_ascend.errors import UsageError
from neonext_ascend.kernels.lowerings import LoweringRule
from neonext_ascend.spec import Layout, LoweringName

LoweringChoice = LoweringName | Literal["auto"]
LayoutChoice = Layout | Literal["auto"]

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class GraphForm:
    """What form a network is deployed in.

    Args:
        layout: of its maps, ``(N, C, H, W)`` or ``[C, H, N, W]``.
        lowering: of all NeoCells, or a rule that names each one's.
        reason: of what was chosen, in words; empty where nothing was.
    """

    layout: Layout = "nchw"
    lowering: LoweringName | LoweringRule = "blockdiag"
    reason: str = ""


def fastest(seconds: Mapping[Name, float], error: float) -> Name:
    """The form with the smallest estimate, if it leaves the first one behind by more than the estimate's error.

    Args:
        seconds: of each form; the first is the one with the fewest unknowns.
        error: factor by which estimates miss; forms of one network within it are a tie.
    """
    first = next(iter(seconds))
    least = min(seconds, key=seconds.__getitem__)
    return least if seconds[first] > error * seconds[least] else first


def check_form(layout: LayoutChoice, lowering: LoweringChoice) -> None:
    """Refuse what no network can take.

    Raises:
        UsageError: kron in chnw.
    """
    if (layout, lowering) == ("chnw", "kron"):
        raise UsageError(
            "--lowering kron needs the pixels of a channel side by side; --layout chnw puts the batch between them; "
            "take --layout nchw"
        )
