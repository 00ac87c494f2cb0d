"""Which layout and which lowerings a network is exported in, where that is left to the cost model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from neonext_ascend.cost.cell import TIE, cheapest, least, with_figures
from neonext_ascend.cost.network import LoweringRule, network_cost
from neonext_ascend.cost.operators import NetworkCost
from neonext_ascend.errors import UsageError
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.machine.chips import Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import LAYOUTS, Layout, LoweringName

LoweringChoice = LoweringName | Literal["auto"]
LayoutChoice = Layout | Literal["auto"]


@dataclass(frozen=True, slots=True)
class GraphForm:
    """What form a network is deployed in.

    Args:
        layout: of its maps, ``(N, C, H, W)`` or ``[C, H, N, W]``.
        lowering: of all NeoCells, or a rule that names each one's.
        reason: of the layout, in words; empty where it was asked for.
    """

    layout: Layout = "nchw"
    lowering: LoweringName | LoweringRule = "blockdiag"
    reason: str = ""


def lowering_rule(lowering: LoweringChoice, batch: int, layout: Layout, soc: Soc | None) -> LoweringRule:
    """The lowering of each NeoCell: the one that is named, or the cheapest on the chip (``None``: the CPU)."""
    if lowering == "auto":
        return lambda geometry, height, width: cheapest(geometry, height, width, batch, layout, soc)
    return partial(_always, lowering)


def choose_layout(config: NetworkConfig, soc: Soc | None, batch: int, lowering: LoweringChoice) -> GraphForm:
    """nchw on the CPU (``soc`` ``None``); on a chip the smaller estimate of the whole network in fp16.

    Estimates within 10 % are a tie: then the fewer cube multiplications, then nchw.

    Raises:
        UsageError: the network cannot take its image size.
    """
    if soc is None:
        reason = "on the CPU convolutions are faster than products in chnw (docs/benchmarks.md)"
        return GraphForm("nchw", lowering_rule(lowering, batch, "nchw", None), reason)
    chip = with_figures(soc)
    costs: dict[Layout, NetworkCost] = {
        layout: network_cost(config, batch, layout, lowering_rule(lowering, batch, layout, soc)) for layout in LAYOUTS
    }
    estimates = {layout: cost.estimate_us(chip) or 0.0 for layout, cost in costs.items()}
    cube = {layout: cost.total.cube for layout, cost in costs.items()}
    chosen = least(estimates, cube)
    rule = lowering_rule(lowering, batch, chosen, soc)
    other: Layout = "chnw" if chosen == "nchw" else "nchw"
    tie = max(estimates.values()) <= TIE * min(estimates.values())
    multiplications = f"{cube[chosen] / 1e9:.4g} G cube multiplications against {cube[other] / 1e9:.4g} G in {other}"
    if soc is not chip:
        reason = f"{soc.name} has no bandwidth figure; by the balance of {chip.name}, "
        reason += (
            multiplications if tie else f"{other} would take {estimates[other] / estimates[chosen]:.2f} times as long"
        )
        return GraphForm(chosen, rule, f"{reason} (an estimate at batch {batch})")
    times = f"{estimates[chosen] / 1e3:.3g} ms against {estimates[other] / 1e3:.3g} ms in {other}"
    reason = f"an estimate of {times} at batch {batch}"
    return GraphForm(chosen, rule, f"{reason}, a tie; {multiplications}" if tie else reason)


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


def choose_form(
    config: NetworkConfig,
    layout: LayoutChoice,
    lowering: LoweringChoice,
    soc: Soc | None,
    batch_size: int | None,
) -> GraphForm:
    """The form of this network for a chip, or for the CPU where ``soc`` is ``None``.

    Args:
        config: the network.
        layout, lowering: as asked for.
        soc: the target.
        batch_size: the largest that is planned; ``None`` where it is free.
    """
    batch = batch_size or 1
    if layout != "auto":
        return GraphForm(layout, lowering_rule(lowering, batch, layout, soc))
    if lowering == "kron":
        return GraphForm("nchw", lowering, "kron needs the pixels of a channel side by side")
    return choose_layout(config, soc, batch, lowering)


def _always(lowering: LoweringName, geometry: Geometry, height: int, width: int) -> LoweringName:
    return lowering
