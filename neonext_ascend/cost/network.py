"""What a whole exported network costs: every operator of its graph, for a batch, a layout and a rule of lowerings.

An operator is what a layer is in the network, not a node in the file: a product takes its bias with it (as Conv and
Gemm do, and MatMul with the Add behind it), and GELU, which the file spells in five nodes, is one. ``by_node`` counts
each node instead. Reshapes move nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from neonext_ascend.cost.cell import FP16_BYTES, MatMul, cell_cost, cell_products
from neonext_ascend.cost.operators import NetworkCost, Operator, mover, product
from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import lower
from neonext_ascend.models.config import STAGES, STEM_STRIDE, NetworkConfig
from neonext_ascend.spec import Layout, LoweringName

# Names the lowering of a NeoCell on a map of (height, width) pixels.
LoweringRule = Callable[[Geometry, int, int], LoweringName]
Size = tuple[int, int]

STEM, POINTWISE, ELEMENTWISE, DOWNSAMPLING, HEAD = "stem", "pointwise", "elementwise", "down-sampling", "head"
# Div, Erf and Add read and write one map each, Mul of two maps reads both, Mul by a half reads and writes one.
_GELU_NODES = (("Div", 2), ("Erf", 2), ("Add", 2), ("Mul", 3), ("Mul", 2))
_IMAGE_CHANNELS, _DOWN = 3, 2


def network_cost(
    config: NetworkConfig,
    batch: int,
    layout: Layout,
    choose: LoweringRule,
    itemsize: int = FP16_BYTES,
    *,
    by_node: bool = False,
) -> NetworkCost:
    """Count the network at its image size.

    Args:
        config: of the network.
        batch: images.
        layout: of the maps inside.
        choose: names each NeoCell's lowering; one that it does not take becomes block-diagonal, as at export.
        itemsize: bytes of an element.
        by_node: every node of the file is an operator of its own.

    Raises:
        UsageError: the network cannot take its image size.
    """
    tally, sizes = _Tally(batch, layout, choose, itemsize, by_node), config.stage_sizes()
    for stage in range(STAGES):
        channels, size, depth = config.widths[stage], sizes[stage], config.depths[stage]
        if stage == 0:
            _stem(tally, config)
        else:
            _downsampling(tally, config, stage, sizes[stage - 1])
        tally.neocell(cells_of(stage), config.geometry(stage), size, shift=False, times=depth)
        tally.pointwise(POINTWISE, channels, 4 * channels, size, bias=True, times=depth)
        tally.gelu(ELEMENTWISE, 4 * channels, size, depth)
        tally.pointwise(POINTWISE, 4 * channels, channels, size, config.traits.linear_bias, depth)
        tally.moved(ELEMENTWISE, "Add", 3 * tally.elements(channels, size), depth)
    _head(tally, config, sizes[-1])
    return NetworkCost(tuple(tally.operators), batch)


def cells_of(stage: int) -> str:
    """The part's name of a stage (0 to 3)."""
    return f"stage {stage + 1} NeoCells"


@dataclass(slots=True)
class _Tally:
    batch: int
    layout: Layout
    choose: LoweringRule
    itemsize: int
    by_node: bool
    operators: list[Operator] = field(default_factory=list)

    def elements(self, channels: int, size: Size) -> int:
        """Of the maps of all images."""
        return self.batch * channels * size[0] * size[1]

    def moved(self, part: str, what: str, elements: int, times: int = 1, weights: int = 0) -> None:
        self.operators.append(mover(part, what, elements, self.itemsize, times, weights))

    def gelu(self, part: str, channels: int, size: Size, times: int = 1) -> None:
        elements = self.elements(channels, size)
        for what, maps in _GELU_NODES if self.by_node else (("GELU", 2),):
            self.moved(part, what, maps * elements, times)

    def neocell(self, part: str, geometry: Geometry, size: Size, shift: bool, times: int = 1) -> None:
        """``shift``: one number a channel is added behind it."""
        try:
            lowered = lower(self.choose(geometry, *size), geometry, *size, self.layout)
        except GeometryError:
            lowered = lower("blockdiag", geometry, *size, self.layout)
        cost = cell_cost(lowered, geometry, *size, self.batch, self.itemsize)
        products = cell_products(lowered, geometry, *size, self.batch)
        self.operators.append(Operator(part, f"NeoCell ({lowered.lowering})", cost, products, times))
        if shift:
            self._bias(part, geometry.channels, geometry.output_size(*size), times)

    def pointwise(self, part: str, inputs: int, outputs: int, size: Size, bias: bool, times: int = 1) -> None:
        self.convolution(part, inputs, outputs, size, size, bias, times)

    def convolution(
        self,
        part: str,
        inputs: int,
        outputs: int,
        before: Size,
        after: Size,
        bias: bool,
        times: int = 1,
        *,
        patch: int = 1,
        groups: int = 1,
    ) -> None:
        """A Conv with ``patch`` pixels in its kernel; in chnw a MatMul on the gathered patches."""
        area, depth = after[0] * after[1], inputs // groups * patch
        if self.layout == "nchw":
            what, matmul = "Conv", MatMul(self.batch * groups, outputs // groups, depth, area)
        else:
            what, matmul = "MatMul", MatMul(1, outputs, depth, self.batch * area)
        elements = (outputs * depth, self.elements(inputs, before), self.elements(outputs, after))
        self.operators.append(product(part, what, [matmul], elements, self.itemsize, times))
        if bias:
            self._bias(part, outputs, after, times, input_of_node=self.layout == "nchw")

    def _bias(self, part: str, channels: int, size: Size, times: int, input_of_node: bool = False) -> None:
        """It is read; where it is an Add of its own, that reads and writes the maps as well."""
        own_pass = self.by_node and not input_of_node
        self.moved(part, "bias", 2 * self.elements(channels, size) if own_pass else 0, times, weights=channels)


def _stem(tally: _Tally, config: NetworkConfig) -> None:
    image, size = config.image_size, config.stage_sizes()[0]
    if tally.layout == "chnw":
        tally.moved(STEM, "Transpose", 2 * tally.elements(_IMAGE_CHANNELS, image))
    tally.convolution(STEM, _IMAGE_CHANNELS, config.widths[0], image, size, bias=True, patch=STEM_STRIDE**2)


def _downsampling(tally: _Tally, config: NetworkConfig, stage: int, before: Size) -> None:
    """In front of ``stage``; in nchw NeoCell 2 -> 1 has become a convolution (passes/fold_downsampling.py)."""
    narrow, wide = config.widths[stage - 1], config.widths[stage]
    after = (before[0] // _DOWN, before[1] // _DOWN)
    if config.traits.downsample_conv_first:
        if tally.layout == "nchw":
            tally.convolution(DOWNSAMPLING, narrow, wide, before, after, bias=True, patch=_DOWN**2)
            return
        tally.pointwise(DOWNSAMPLING, narrow, wide, before, bias=False)
        tally.neocell(DOWNSAMPLING, Geometry.downsample(wide), before, shift=True)
        return
    if tally.layout == "nchw":
        tally.convolution(DOWNSAMPLING, narrow, narrow, before, after, bias=True, patch=_DOWN**2, groups=narrow)
    else:
        tally.neocell(DOWNSAMPLING, Geometry.downsample(narrow), before, shift=True)
    tally.gelu(DOWNSAMPLING, narrow, after)
    tally.pointwise(DOWNSAMPLING, narrow, wide, after, bias=True)
    tally.gelu(DOWNSAMPLING, wide, after)


def _head(tally: _Tally, config: NetworkConfig, size: Size) -> None:
    channels, classes, batch = config.widths[-1], config.num_classes, tally.batch
    vector = batch * channels
    tally.moved(HEAD, "ReduceMean", tally.elements(channels, size) + vector)
    if tally.layout == "chnw":
        tally.moved(HEAD, "Transpose", 2 * vector)
    tally.moved(HEAD, "LayerNormalization", 2 * vector, weights=channels)
    elements = ((channels + 1) * classes, vector, batch * classes)
    tally.operators.append(product(HEAD, "Gemm", [MatMul(1, batch, channels, classes)], elements, tally.itemsize))
