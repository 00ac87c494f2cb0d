"""The rows of a model's tables, from the graphs of its forms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from neonext_ascend.cost.count import count_network, useful_multiplications
from neonext_ascend.cost.int8.values import FP16_BYTES
from neonext_ascend.cost.rows import NetworkRow, StageRow
from neonext_ascend.jobs.making.form import choose_form
from neonext_ascend.jobs.making.graphs import cell_costs, network_cost
from neonext_ascend.machine.chips import Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.spec import LAYOUTS, Layout


def network_rows(
    config: NetworkConfig, soc: Soc, batches: Sequence[int], layout: Layout | None
) -> Iterator[NetworkRow]:
    """For each batch both layouts, one of them chosen; or the one that is named.

    Raises:
        UsageError: the network cannot take its image size.
    """
    useful = count_network(config).sparse
    for batch in batches:
        chosen = choose_form(config, layout or "auto", "auto", soc, batch)
        for compared in (layout,) if layout else LAYOUTS:
            is_chosen = compared == chosen.layout
            form = chosen if is_chosen else choose_form(config, compared, "auto", soc, batch)
            cost = network_cost(config, compared, form.lowering, soc, batch)
            yield NetworkRow(batch, compared, is_chosen, batch * useful, cost, form)


def stage_rows(config: NetworkConfig, soc: Soc, networks: Sequence[NetworkRow]) -> Iterator[StageRow]:
    """Every legal lowering of one NeoCell of each stage, for the batches and layouts of ``networks``."""
    for stage, size in enumerate(config.stage_sizes()):
        geometry = config.geometry(stage)
        useful = useful_multiplications(geometry, *size)
        elements = geometry.channels * (prod(size) + prod(geometry.output_size(*size)))
        for row in networks:
            lowering = row.form.lowering
            named = lowering if isinstance(lowering, str) else lowering(geometry, *size)
            costs = cell_costs(geometry, *size, row.batch, row.layout, soc)
            best = named if named in costs else "blockdiag"
            for name, cost in costs.items():
                yield StageRow(
                    row.batch,
                    row.layout,
                    row.chosen and name == best,
                    row.batch * useful,
                    cost,
                    stage=stage + 1,
                    blocks=config.depths[stage],
                    lowering=name,
                    activations=FP16_BYTES * row.batch * elements,
                    blockdiag_dense=costs["blockdiag"].multiplications,
                )
