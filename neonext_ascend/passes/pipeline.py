"""All passes in their order: from a trained network to the one that is deployed."""

from __future__ import annotations

from torch import fx, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.passes.base import Pass, PassReport, Report
from neonext_ascend.passes.channels_first import ChannelsFirst
from neonext_ascend.passes.fold_batchnorm import FoldBatchNorm
from neonext_ascend.passes.fold_downsampling import FoldDownsampling
from neonext_ascend.passes.fold_layer_scale import FoldLayerScale
from neonext_ascend.passes.fold_layernorm import FoldLayerNorm
from neonext_ascend.passes.fold_space_to_depth import FoldSpaceToDepth
from neonext_ascend.passes.frozen import Frozen
from neonext_ascend.passes.graph import modules
from neonext_ascend.passes.lower_neocell import LowerNeoCell
from neonext_ascend.passes.move_shift import MoveShift
from neonext_ascend.passes.remove_noops import RemoveNoops

INPUT_SHAPE = "neonext_input_shape"


def prepare(
    network: nn.Module,
    image_size: int | tuple[int, int] | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    defer: bool = False,
) -> tuple[fx.GraphModule, Report]:
    """Fold everything that folds and lower NeoCell; the network itself stays untouched.

    Args:
        network: a NeoNeXt, or any traceable module that holds NeoCells, in evaluation mode, with one input.
        image_size: pixels, one number or (height, width); the input is then ``(1, 3, H, W)``. By default that of
            the network's own configuration.
        input_shape: instead, where the input is something else, batch included.
        defer: leave the folded weights to be computed when they are exported, one at a time. They then share the
            network's parameters: do not train on before the export.

    Returns:
        The new network and what each pass did and refused.

    Raises:
        PassRefusedError: training mode, a forward that cannot be traced, or an input that does not fit.
        GeometryError: a map is too small for a NeoCell.
    """
    if network.training:
        raise PassRefusedError(
            f"{type(network).__name__} is in training mode: BatchNorm would use each batch's own statistics; "
            "call .eval() first"
        )
    shape = _input_shape(network, image_size, input_shape)
    order: list[Pass] = [
        RemoveNoops(),
        FoldLayerScale(),
        ChannelsFirst(),
        FoldSpaceToDepth(),
        FoldDownsampling(),
        FoldBatchNorm(),
        MoveShift(),
        FoldLayerNorm(),
        LowerNeoCell(shape),
    ]
    reports: list[PassReport] = []
    current: nn.Module = network
    for step in order:
        current, report = step(current)
        reports.append(report)
    assert isinstance(current, fx.GraphModule)
    if not defer:
        for _, module in modules(current):
            if isinstance(module, Frozen):
                module.materialize()
    current.meta[INPUT_SHAPE] = shape
    return current.eval(), Report(tuple(reports))


def _input_shape(
    network: nn.Module, image_size: int | tuple[int, int] | None, input_shape: tuple[int, ...] | None
) -> tuple[int, ...]:
    if input_shape is not None:
        if image_size is not None:
            raise PassRefusedError("give image_size or input_shape, not both")
        return tuple(input_shape)
    if image_size is None:
        config = getattr(network, "config", None)
        image_size = getattr(config, "image_size", None)
        if image_size is None:
            raise PassRefusedError(f"{type(network).__name__}: give image_size or input_shape")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return (1, 3, height, width)
