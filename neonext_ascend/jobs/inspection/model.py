"""What a model costs on a chip, form by form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neonext_ascend.cost.advice import advise
from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.cost.timing import Fit, find_fit
from neonext_ascend.jobs.inspection.roof import fit_for, roof_of
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.reporting.speed import advice_text, gain_text, time_text

if TYPE_CHECKING:
    from neonext_ascend.cost.int8.gain import Int8Gain
    from neonext_ascend.cost.rows import NetworkRow, StageRow


@dataclass(frozen=True)
class InspectedModel:
    """What a model costs on a chip in fp16.

    Args:
        config: of the network.
        soc: the chip.
        layout: that was asked for; ``auto`` compares both.
        stages: one NeoCell of each stage in every layout and lowering.
        networks: the whole network, its lowerings chosen.
        int8: what it would bring the form that is chosen, at each batch; empty where no int8 figure is of the chip.
        notes: what the figures rest on, one sentence each.
        plot: the roofline, where one was asked for.
    """

    config: NetworkConfig
    soc: Soc
    layout: LayoutChoice
    stages: tuple[StageRow, ...]
    networks: tuple[NetworkRow, ...]
    int8: tuple[Int8Gain, ...]
    notes: tuple[str, ...]
    plot: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``; numbers are exact."""
        return {
            "model": self.config.name,
            "soc": self.soc.name,
            "dtype": "fp16",
            "assumptions": list(self.notes),
            "stages": [row.to_json() for row in self.stages],
            "network": [row.to_json() for row in self.networks],
            "int8": [gain.to_json() for gain in self.int8],
            "plot": None if self.plot is None else str(self.plot.absolute()),
        }


def inspect_model(
    network: NetworkConfig, soc: Soc, batches: Sequence[int], layout: LayoutChoice, plot: Path | None, watch: Watch
) -> InspectedModel:
    """Errors as of :func:`neonext_ascend.jobs.inspect`."""
    fit = None if plot is None else fit_for(plot, soc)
    with plotting(plot) as publish, watch.working(f"counting {network.name}"):
        from neonext_ascend.jobs.inspection.forms import network_rows, stage_rows
        from neonext_ascend.jobs.making.graphs import network_gain

        networks = tuple(network_rows(network, soc, batches, None if layout == "auto" else layout))
        stages = tuple(stage_rows(network, soc, networks))
        chosen = [row for row in networks if row.chosen]
        found = [network_gain(network, row.layout, row.form.lowering, soc, row.batch) for row in chosen]
        gains = tuple(gain for gain in found if gain is not None)
        if fit is not None:
            publish(_roofline(network.name, soc, fit, stages))
    return InspectedModel(network, soc, layout, stages, networks, gains, _notes(soc, networks, stages, gains), plot)


def _notes(
    soc: Soc, networks: Sequence[NetworkRow], stages: Sequence[StageRow], gains: Sequence[Int8Gain]
) -> tuple[str, ...]:
    """What int8 and else would help and where most of the time goes, GELU first, and what the figures rest on."""
    last, fit = next((row for row in reversed(networks) if row.chosen), networks[-1]).cost, find_fit(soc.name)
    found = []
    found += [f"int8: {gain_text(gain)}" for gain in gains]
    if last.timed and fit is not None:
        found += [advice_text(advice) for advice in advise(last, soc, fit)]
        found.append(f"of the time {time_text(last)}")
    found += last.notes
    found.append(
        "useful: multiplications of the cells' blocks; dense: with the zeros between; cube: each side filled up to 16"
    )
    if any(row.useful > row.cost.multiplications for row in stages):
        found.append(
            "useful is above dense where cells are larger than the map: useful counts them whole, as the paper does, "
            "and the graph multiplies by what of them lies on the map"
        )
    return tuple(found)


def _roofline(name: str, soc: Soc, fit: Fit, stages: Sequence[StageRow]) -> str:
    from neonext_ascend.drawing.roofline import Point, draw_roofline

    points = [
        Point(
            row.batch, row.stage, row.layout, row.lowering, row.chosen, row.intensity, 2e6 * row.useful / microseconds
        )
        for row in stages
        if (microseconds := row.estimate_us) is not None
    ]
    subtitle = "one NeoCell of each stage, fp16; an estimate, nothing measured"
    return draw_roofline(f"{name} on {soc.name}", subtitle, roof_of(soc, fit, "l2_bandwidth"), points)
