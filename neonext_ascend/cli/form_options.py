"""Options of the form that a network is deployed in: layout and lowering."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from neonext_ascend.errors import UsageError
from neonext_ascend.machine.chips import Soc
from neonext_ascend.spec import LAYOUTS, LOWERINGS, Layout, LoweringName

if TYPE_CHECKING:
    from neonext_ascend.models.config import NetworkConfig
    from neonext_ascend.passes.form import GraphForm

LayoutChoice = Layout | Literal["auto"]
LoweringChoice = LoweringName | Literal["auto"]
_F = TypeVar("_F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--layout",
        type=click.Choice(["auto", *LAYOUTS]),
        default="auto",
        show_default=True,
        help="Of the maps inside; auto takes nchw for a CPU, and goes by the cost model for a chip.",
    ),
    click.option(
        "--lowering",
        type=click.Choice(["auto", *LOWERINGS]),
        default="auto",
        show_default=True,
        help="Of the NeoCells; auto takes block-diagonal for a CPU, and each stage's cheapest on a chip.",
    ),
)


def form_options(function: _F) -> _F:
    """``--layout`` and ``--lowering``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


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


def form_for(
    config: NetworkConfig, layout: LayoutChoice, lowering: LoweringChoice, soc: Soc | None, batch_size: int | None
) -> GraphForm:
    """The form of this network for a chip, or for the CPU where ``soc`` is ``None``.

    Args:
        config: the network.
        layout, lowering: as asked for.
        soc: the target.
        batch_size: the largest that is planned; ``None`` where it is free.
    """
    from neonext_ascend.cost.choice import choose_layout, lowering_rule
    from neonext_ascend.passes.form import GraphForm

    batch, reason = batch_size or 1, ""
    if layout == "auto" and lowering == "kron":
        layout, reason = "nchw", "kron needs the pixels of a channel side by side"
    if layout == "auto":
        choice = choose_layout(config, soc, batch, lowering)
        layout, reason = choice.layout, choice.reason
    return GraphForm(layout, lowering_rule(lowering, batch, layout, soc), reason)
