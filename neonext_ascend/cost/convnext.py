"""ConvNeXt-T counted by the same rules, to hold the estimate against the one public figure of a like network.

Huawei's ModelZoo gives ConvNeXt-T on Ascend310P3 in images a second (Ascend/ModelZoo-PyTorch, CANN 6.0, "reference
only"). The network is counted as its authors' code exports (arXiv 2201.03545): a depthwise convolution is a product a
channel on the cube unit, LayerNorm lies between two Transposes, LayerScale is an operator of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from neonext_ascend.cost.cell import FP16_BYTES, MatMul
from neonext_ascend.cost.operators import NetworkCost, Operator, mover, product
from neonext_ascend.machine.chips import SOCS

PEER_SOC = "Ascend310P3"
# batch: published images a second
PUBLISHED: Mapping[int, float] = {1: 364, 4: 501, 8: 511, 16: 495, 32: 481}
PEER_BATCH = 8  # where the card was fastest

_DEPTHS, _WIDTHS, _SIDES, _CLASSES = (3, 3, 9, 3), (96, 192, 384, 768), (56, 28, 14, 7), 1000
_KERNEL = 7 * 7
# What a block moves besides its products, in maps of its channels: operator and how many.
_MOVERS = (("Transpose", 2), ("LayerNorm", 2), ("GELU", 8), ("LayerScale", 2), ("Transpose", 2), ("Add", 3))


def convnext_t_cost(batch: int, itemsize: int = FP16_BYTES) -> NetworkCost:
    """ConvNeXt-T at 224 x 224 for ``batch`` images."""
    operators: list[Operator] = []

    def convolution(
        part: str, inputs: int, outputs: int, sides: tuple[int, int], patch: int = 1, groups: int = 1, times: int = 1
    ) -> None:
        before, after = (batch * side * side for side in sides)
        depth = inputs // groups * patch
        matmul = MatMul(batch * groups, outputs // groups, depth, after // batch)
        elements = (outputs * (depth + 1), inputs * before, outputs * after)
        operators.append(product(part, "Conv", [matmul], elements, itemsize, times))

    def moved(part: str, what: str, elements: int, times: int = 1) -> None:
        operators.append(mover(part, what, elements, itemsize, times))

    for stage, (depth, width, side) in enumerate(zip(_DEPTHS, _WIDTHS, _SIDES, strict=True)):
        elements = batch * width * side * side
        if stage == 0:
            convolution("stem", 3, width, (224, side), patch=16)
            for what in ("Transpose", "LayerNorm", "Transpose"):
                moved("stem", what, 2 * elements)
        else:
            narrow, wide_side = _WIDTHS[stage - 1], _SIDES[stage - 1]
            for what in ("Transpose", "LayerNorm", "Transpose"):
                moved("down-sampling", what, 2 * batch * narrow * wide_side**2)
            convolution("down-sampling", narrow, width, (wide_side, side), patch=4)
        convolution("depthwise", width, width, (side, side), _KERNEL, width, depth)
        convolution("pointwise", width, 4 * width, (side, side), times=depth)
        convolution("pointwise", 4 * width, width, (side, side), times=depth)
        for what, maps in _MOVERS:
            moved("elementwise", what, maps * elements, depth)
    vector = batch * _WIDTHS[-1]
    moved("head", "ReduceMean", vector * _SIDES[-1] ** 2 + vector)
    moved("head", "LayerNorm", 2 * vector)
    classifier = ((_WIDTHS[-1] + 1) * _CLASSES, vector, batch * _CLASSES)
    operators.append(product("head", "Gemm", [MatMul(1, batch, _WIDTHS[-1], _CLASSES)], classifier, itemsize))
    return NetworkCost(tuple(operators), batch)


def times_too_fast(batch: int = PEER_BATCH) -> float:
    """Estimated over published images a second on the peer's chip."""
    estimate = convnext_t_cost(batch).images_per_second(SOCS[PEER_SOC])
    assert estimate is not None
    return estimate / PUBLISHED[batch]
