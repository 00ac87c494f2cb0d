"""The rows of ``inspect MODEL``: each stage's NeoCell and the whole network on a chip, and what the figures rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from neonext_ascend.cost.cell import STAND_IN, Cost, cell_cost, cheapest, estimate_us
from neonext_ascend.cost.choice import GraphForm, choose_layout, lowering_rule
from neonext_ascend.cost.convnext import PEER_BATCH, PEER_SOC, PUBLISHED, convnext_t_cost, times_too_fast
from neonext_ascend.cost.network import network_cost
from neonext_ascend.cost.operators import NetworkCost
from neonext_ascend.kernels.lowerings import legal
from neonext_ascend.machine.chips import SOCS, Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import LAYOUTS, Layout


@dataclass(frozen=True, slots=True)
class StageRow:
    """One NeoCell of a stage at one batch, in one layout and lowering; ``stage`` counts from 1."""

    stage: int
    blocks: int
    batch: int
    layout: Layout
    lowering: str
    chosen: bool
    cost: Cost
    blockdiag_dense: int
    estimate_us: float | None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        cost = self.cost
        return {
            "stage": self.stage,
            "blocks": self.blocks,
            "batch": self.batch,
            "layout": self.layout,
            "lowering": self.lowering,
            "chosen": self.chosen,
            "macs": _macs(cost),
            "bytes": cost.bytes,
            "bytes_by": {name: getattr(cost, name) for name in ("weights", "activations", "workspace")},
            "intensity": cost.intensity,
            "estimate_us": self.estimate_us,
        }


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """The whole network at one batch in one layout, its lowerings chosen."""

    batch: int
    layout: Layout
    chosen: bool
    cost: NetworkCost
    estimate_us: float | None
    images_per_second: float | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """By name."""
        total = self.cost.total
        return {
            "batch": self.batch,
            "layout": self.layout,
            "chosen": self.chosen,
            "macs": _macs(total),
            "bytes": total.bytes,
            "estimate_us": self.estimate_us,
            "images_per_second": self.images_per_second,
        }


def network_rows(
    config: NetworkConfig, soc: Soc, batches: Sequence[int], layout: Layout | None
) -> Iterator[NetworkRow]:
    """For each batch both layouts, one of them chosen; or the one that is named.

    Raises:
        UsageError: the network cannot take its image size.
    """
    for batch in batches:
        choice = GraphForm(layout) if layout else choose_layout(config, soc, batch, "auto")
        for compared in (layout,) if layout else LAYOUTS:
            cost = network_cost(config, batch, compared, lowering_rule("auto", batch, compared, soc))
            estimate, speed = cost.estimate_us(soc), cost.images_per_second(soc)
            yield NetworkRow(batch, compared, compared == choice.layout, cost, estimate, speed, choice.reason)


def stage_rows(config: NetworkConfig, soc: Soc, networks: Sequence[NetworkRow]) -> Iterator[StageRow]:
    """Every legal lowering of one NeoCell of each stage, for the batches and layouts of ``networks``."""
    for stage, (height, width) in enumerate(config.stage_sizes()):
        geometry = config.geometry(stage)
        for row in networks:
            best = cheapest(geometry, height, width, row.batch, row.layout, soc)
            costs = {
                name: cell_cost(lowered, geometry, height, width, row.batch)
                for name, lowered in legal(geometry, height, width, row.layout).items()
            }
            for name, cost in costs.items():
                yield StageRow(
                    stage + 1,
                    config.depths[stage],
                    row.batch,
                    row.layout,
                    name,
                    row.chosen and name == best,
                    cost,
                    costs["blockdiag"].dense,
                    estimate_us(cost, soc),
                )


def assumptions(soc: Soc) -> list[str]:
    """What the figures rest on, one sentence each."""
    found = [
        "Nothing was measured on a device. Every time is an estimate: for each operator the longer of its cube "
        "multiplications at the peak and its bytes at the bandwidth; their sum.",
        "Every operator reads its inputs and writes its result once; a product takes its bias with it, and GELU is one "
        "operator. Starting an operator, changing a format and caches are not counted.",
    ]
    if soc.fp16_tflops is not None:
        cores = f"{soc.cube_cores} core{'' if soc.cube_cores == 1 else 's'}"
        derived = f"derived, {cores} x {soc.cube_mhz} MHz x 8192 operations a cycle"
        found.append(f"Peak {soc.fp16_tflops:.1f} TFLOPS in fp16: {derived}.")
    if soc.bandwidth_gbs is not None:
        found.append(f"Bandwidth {soc.bandwidth_gbs:g} GB/s: a press figure, not in the vendor's platform files.")
    if soc.fp16_tflops is None or soc.bandwidth_gbs is None:
        lacking = "bandwidth" if soc.fp16_tflops is not None else "peak and no bandwidth"
        found.append(
            f"There is no {lacking} figure for {soc.name}, so no time is told; the choices are made with the balance "
            f"of {STAND_IN}."
        )
        return found
    estimate = convnext_t_cost(PEER_BATCH).images_per_second(SOCS[PEER_SOC])
    found.append(
        f"The same rules put ConvNeXt-T on {PEER_SOC} at {estimate:.0f} images a second at batch {PEER_BATCH}; "
        f"{PUBLISHED[PEER_BATCH]:.0f} are published: there the estimate is {times_too_fast():.1f} times too fast."
    )
    return found


def _macs(cost: Cost) -> dict[str, int]:
    return {"useful": cost.useful, "dense": cost.dense, "cube": cost.cube}
