"""The graphs of a network and of its NeoCells in any form, without weights: what a form is estimated by."""

from __future__ import annotations

from functools import lru_cache

import torch
from onnx import ModelProto

from neonext_ascend.cost.answer import FileCost
from neonext_ascend.cost.file_cost import file_cost
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.int8.gain import Int8Gain, int8_gain
from neonext_ascend.cost.int8.plain import can_be_int8
from neonext_ascend.exporters.onnx_file.building import DEFAULT_OPSET, build_cell, build_model
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import LoweringRule, legal
from neonext_ascend.machine.chips import Soc
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neonext import build
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.spec import GeluForm, Layout, LoweringName

Cells = tuple[tuple[tuple[Geometry, int, int], LoweringName], ...]


def network_graph(
    config: NetworkConfig, layout: Layout, lowering: LoweringName | LoweringRule, gelu: GeluForm = "erf"
) -> ModelProto:
    """Of a whole network, as it is exported with a free batch.

    Raises:
        UsageError: the network cannot take its image size.
    """
    if isinstance(lowering, str):
        return _network_graph(config, layout, lowering, gelu)
    sizes = config.stage_sizes()
    cells = [(config.geometry(stage), *size) for stage, size in enumerate(sizes)]
    # Definitions down-sample in front of or behind the convolution that widens.
    cells += [(Geometry.downsample(n), *size) for i, size in enumerate(sizes[:-1]) for n in config.widths[i : i + 2]]
    return _network_graph(config, layout, tuple((cell, lowering(*cell)) for cell in dict.fromkeys(cells)), gelu)


@lru_cache
def _network_graph(config: NetworkConfig, layout: Layout, lowering: LoweringName | Cells, gelu: GeluForm) -> ModelProto:
    with torch.device("meta"):
        network = build(config).eval()
    named = dict(() if isinstance(lowering, str) else lowering)
    rule = lowering if isinstance(lowering, str) else lambda *cell: named[cell]
    prepared, _ = prepare(network, defer=True, layout=layout, lowering=rule)
    return build_model(prepared, OnnxGraph(DEFAULT_OPSET, "fp32", gelu), None).skeleton()


@lru_cache
def network_cost(
    config: NetworkConfig, layout: Layout, lowering: LoweringName | LoweringRule, soc: Soc, batch: int
) -> FileCost:
    """Of a whole network in a form; errors as of :func:`network_graph`."""
    return file_cost(network_graph(config, layout, lowering), soc, (batch,))


@lru_cache
def network_gain(
    config: NetworkConfig, layout: Layout, lowering: LoweringName | LoweringRule, soc: Soc, batch: int
) -> Int8Gain | None:
    """What int8 would bring it; errors as of :func:`network_graph`."""
    flow = Flow(network_graph(config, layout, lowering), batch)
    return int8_gain(flow, can_be_int8(flow), soc, made=False)


@lru_cache(maxsize=1024)
def cell_costs(
    geometry: Geometry, height: int, width: int, batch: int, layout: Layout, soc: Soc
) -> dict[LoweringName, FileCost]:
    """One NeoCell without its bias in every lowering that takes it, block-diagonal first.

    Raises:
        GeometryError: the map is too small for the NeoCell.
    """
    channels = geometry.channels
    shape = (batch, channels, height, width) if layout == "nchw" else (channels, height, batch, width)
    return {
        name: file_cost(build_cell(lowered, shape).skeleton(), soc, (batch,))
        for name, lowered in legal(geometry, height, width, layout).items()
    }
