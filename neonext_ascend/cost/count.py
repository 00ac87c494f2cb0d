"""Parameters and multiply-accumulates of a whole network, from its configuration alone.

Published figures differ by convention, so every figure names its own: ``pointwise`` counts convolutions and
linear layers; ``sparse`` adds each NeoCell's blocks (``2 C H W k``, arXiv 2403.11251, equations 4 and 5);
``dense`` adds whole block-diagonal matrices instead (``C (H' H W + H' W W')``); ``dense_bn5`` further adds 5
operations for each element behind a BatchNorm, which gives the paper's Table 1 to the printed digit.
"""

from __future__ import annotations

from dataclasses import dataclass

from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.config import STAGES, STEM_STRIDE, NetworkConfig


@dataclass(frozen=True, slots=True)
class NetworkCount:
    """Exact counts for one image: parameters, and MACs by convention."""

    params: int
    pointwise: int
    sparse: int
    dense: int
    dense_bn5: int

    @property
    def macs(self) -> dict[str, int]:
        """MACs by the convention's name."""
        return {
            "pointwise": self.pointwise,
            "sparse": self.sparse,
            "dense": self.dense,
            "dense_bn5": self.dense_bn5,
        }


@dataclass
class _Tally:
    params: int = 0
    pointwise: int = 0
    cells_sparse: int = 0
    cells_dense: int = 0
    bn_elements: int = 0

    def linear(self, inputs: int, outputs: int, positions: int, bias: bool) -> None:
        self.params += inputs * outputs + (outputs if bias else 0)
        self.pointwise += inputs * outputs * positions

    def batch_norm(self, channels: int, positions: int) -> None:
        self.params += 2 * channels
        self.bn_elements += channels * positions

    def neocell(self, geometry: Geometry, height: int, width: int) -> None:
        h_out, w_out = geometry.output_size(height, width)
        for group in geometry.groups:
            cell = group.cell
            self.params += group.channels * (cell.h_in * cell.h_out + cell.w_in * cell.w_out)
            self.cells_dense += group.channels * h_out * width * (height + w_out)
        self.cells_sparse += useful_multiplications(geometry, height, width)


def useful_multiplications(geometry: Geometry, height: int, width: int) -> int:
    """Of a NeoCell for one image: left products give H' W sums of h terms, right ones H' W' sums of w terms."""
    h_out, w_out = geometry.output_size(height, width)
    return sum(g.channels * h_out * (width * g.cell.h_in + w_out * g.cell.w_in) for g in geometry.groups)


def count_network(config: NetworkConfig) -> NetworkCount:
    """Count a network at its image size.

    Raises:
        UsageError: the network cannot take its image size.
    """
    tally, traits = _Tally(), config.traits
    sizes = config.stage_sizes()
    for stage in range(STAGES):
        channels, (height, width) = config.widths[stage], sizes[stage]
        area = height * width
        if stage == 0:
            tally.linear(3 * STEM_STRIDE**2, channels, area, bias=False)
            tally.batch_norm(channels, area)
        else:
            _count_downsample(tally, config, stage, sizes)
        for _ in range(config.depths[stage]):
            tally.neocell(config.geometry(stage), height, width)
            tally.batch_norm(channels, area)
            tally.linear(channels, 4 * channels, area, traits.linear_bias)
            tally.linear(4 * channels, channels, area, traits.linear_bias)
            if traits.layer_scale is not None:
                tally.params += channels
    tally.params += 2 * config.widths[-1]
    tally.linear(config.widths[-1], config.num_classes, 1, bias=True)
    dense = tally.pointwise + tally.cells_dense
    return NetworkCount(
        params=tally.params,
        pointwise=tally.pointwise,
        sparse=tally.pointwise + tally.cells_sparse,
        dense=dense,
        dense_bn5=dense + 5 * tally.bn_elements,
    )


def _count_downsample(tally: _Tally, config: NetworkConfig, stage: int, sizes: list[tuple[int, int]]) -> None:
    """The down-sampling in front of ``stage``."""
    before, after = config.widths[stage - 1], config.widths[stage]
    (height, width), (h_out, w_out) = sizes[stage - 1], sizes[stage]
    if config.traits.downsample_conv_first:
        tally.linear(before, after, height * width, bias=False)
        tally.neocell(Geometry.downsample(after), height, width)
        tally.batch_norm(after, h_out * w_out)
    else:
        tally.neocell(Geometry.downsample(before), height, width)
        tally.batch_norm(before, h_out * w_out)
        tally.linear(before, after, h_out * w_out, bias=False)
        tally.batch_norm(after, h_out * w_out)
