"""What a model costs on a chip, form by form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.errors import UsageError
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import SOCS, Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.reporting.plotting import plotting

if TYPE_CHECKING:
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
        notes: what the figures rest on, one sentence each.
        plot: the roofline, where one was asked for.
    """

    config: NetworkConfig
    soc: Soc
    layout: LayoutChoice
    stages: tuple[StageRow, ...]
    networks: tuple[NetworkRow, ...]
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
            "plot": None if self.plot is None else str(self.plot.absolute()),
        }


def inspect_model(
    network: NetworkConfig, soc: Soc, batches: Sequence[int], layout: LayoutChoice, plot: Path | None, watch: Watch
) -> InspectedModel:
    """Errors as of :func:`neonext_ascend.jobs.inspect`."""
    if plot is not None and (soc.fp16_tflops is None or soc.bandwidth_gbs is None):
        complete = [other.name for other in SOCS.values() if other.fp16_tflops is not None and other.bandwidth_gbs]
        raise UsageError(
            f"--plot {plot}: {soc.name} has no peak or no bandwidth figure, so no roof; take {' or '.join(complete)}"
        )
    with plotting(plot) as publish, watch.working(f"counting {network.name}"):
        from neonext_ascend.cost.rows import assumptions, network_rows, stage_rows

        networks = tuple(network_rows(network, soc, batches, None if layout == "auto" else layout))
        stages = tuple(stage_rows(network, soc, networks))
        if plot is not None:
            publish(_roofline(network.name, soc, stages))
    return InspectedModel(network, soc, layout, stages, networks, tuple(assumptions(soc)), plot)


def _roofline(name: str, soc: Soc, stages: Sequence[StageRow]) -> str:
    from neonext_ascend.drawing.roofline import Point, Roof, draw_roofline

    assert soc.fp16_tflops is not None
    assert soc.bandwidth_gbs is not None
    roof = Roof(
        soc.fp16_tflops * 1e12,
        soc.bandwidth_gbs * 1e9,
        f"{soc.fp16_tflops:.1f} TFLOPS, derived",
        f"{soc.bandwidth_gbs:g} GB/s, a press figure",
    )
    points = [
        Point(r.batch, r.stage, r.layout, r.lowering, r.chosen, r.cost.intensity, 2e6 * r.cost.useful / r.estimate_us)
        for r in stages
        if r.estimate_us is not None
    ]
    subtitle = "one NeoCell of each stage, fp16; an estimate, nothing measured"
    return draw_roofline(f"{name} on {soc.name}", subtitle, roof, points)
