"""All passes in their order: from a trained network to the one that is deployed."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn

from neonext_ascend.errors import PassRefusedError, UsageError
from neonext_ascend.passes.base import Pass, PassReport, Report
from neonext_ascend.passes.channels_first import ChannelsFirst
from neonext_ascend.passes.fold_batchnorm import FoldBatchNorm
from neonext_ascend.passes.fold_downsampling import FoldDownsampling
from neonext_ascend.passes.fold_layer_scale import FoldLayerScale
from neonext_ascend.passes.fold_layernorm import FoldLayerNorm
from neonext_ascend.passes.fold_space_to_depth import FoldSpaceToDepth
from neonext_ascend.passes.frozen import Frozen
from neonext_ascend.passes.graph import modules
from neonext_ascend.passes.lower_neocell import LoweringRule, LowerNeoCell
from neonext_ascend.passes.move_shift import MoveShift
from neonext_ascend.passes.remove_noops import RemoveNoops
from neonext_ascend.passes.to_chnw import ToChnw
from neonext_ascend.spec import LAYOUTS, LOWERINGS, Layout, LoweringName

INPUT_SHAPE = "neonext_input_shape"
_SAME = 1e-3


def prepare(
    network: nn.Module,
    image_size: int | tuple[int, int] | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    defer: bool = False,
    layout: Layout = "nchw",
    lowering: LoweringName | LoweringRule = "blockdiag",
) -> tuple[fx.GraphModule, Report]:
    """Fold everything that folds and lower NeoCell; the network itself stays untouched.

    Args:
        network: a NeoNeXt, or any traceable module that holds NeoCells, in evaluation mode, with one input.
        image_size: pixels, one number or (height, width); the input is then ``(1, 3, H, W)``. By default that of
            the network's own configuration.
        input_shape: instead, where the input is something else, batch included.
        defer: leave the folded weights to be computed when they are exported, one at a time. They then share the
            network's parameters: do not train on before the export.
        layout: of the maps inside: ``(N, C, H, W)``, or ``[C, H, N, W]`` without a convolution. Input and output are
            the same in both.
        lowering: of every NeoCell, or a rule that names each one's.

    Returns:
        The new network and what each pass did and refused.

    Raises:
        PassRefusedError: training mode, a forward that cannot be traced, or an input that does not fit.
        UsageError: a layout or lowering that is none.
        GeometryError: a map is too small for a NeoCell.
    """
    training = next((path for path, module in network.named_modules() if module.training), None)
    if training is not None:
        raise PassRefusedError(
            f"{training or type(network).__name__} is in training mode: BatchNorm would use each batch's own "
            "statistics; call .eval() on the whole network first"
        )
    _check_form(layout, lowering)
    shape = _input_shape(network, image_size, input_shape)
    order: list[Pass] = [
        RemoveNoops(),
        FoldLayerScale(),
        ChannelsFirst(),
        FoldSpaceToDepth(),
        # As a strided convolution it would need a Transpose in chnw; as a NeoCell it needs none.
        *([FoldDownsampling()] if layout == "nchw" else []),
        FoldBatchNorm(),
        MoveShift(),
        FoldLayerNorm(),
        LowerNeoCell(shape, layout, lowering),
        *([ToChnw()] if layout == "chnw" else []),
    ]
    reports: list[PassReport] = []
    current: nn.Module = network
    for step in order:
        current, report = step(current)
        reports.append(report)
    assert isinstance(current, fx.GraphModule)
    current.meta[INPUT_SHAPE] = shape
    if not defer:
        _materialize(current)
        _check_function(network, current, shape)
    return current.eval(), Report(tuple(reports))


def _check_form(layout: object, lowering: object) -> None:
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r}: expected {' or '.join(LAYOUTS)}")
    if lowering not in LOWERINGS and not callable(lowering):
        raise UsageError(f"lowering {lowering!r}: expected {', '.join(LOWERINGS)}, or a rule that names each NeoCell's")


def _materialize(graph: fx.GraphModule) -> None:
    """Give the graph constants of its own: nothing stays shared with the original."""
    for node, module in modules(graph):
        if isinstance(module, Frozen):
            module.materialize()
        else:
            graph.add_submodule(str(node.target), copy.deepcopy(module))
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            holder = graph.get_submodule(owner)
            held = getattr(holder, name).detach().clone()
            delattr(holder, name)
            holder.register_buffer(name, held)


def _check_function(network: nn.Module, graph: fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Compare the two on noise: a forward can do what tracing does not see (write in place, keep state).

    The bound is far above rounding and far below what any lost operation changes.
    """
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    reference = next(network.parameters(), noise)
    noise = noise.to(device=reference.device, dtype=reference.dtype)
    with torch.no_grad():
        want, got = network(noise.clone()), graph(noise.clone())
    difference, scale = (got - want).abs().max(), want.abs().max()
    if not bool(difference <= _SAME * scale):
        raise PassRefusedError(
            f"the prepared {type(network).__name__} computes something else (by {float(difference):.3g} of "
            f"{float(scale):.3g}): its forward does something that tracing does not see; write it without in-place "
            "operations and state"
        )


def _input_shape(
    network: nn.Module, image_size: int | tuple[int, int] | None, input_shape: tuple[int, ...] | None
) -> tuple[int, ...]:
    if input_shape is not None:
        if image_size is not None:
            raise PassRefusedError("give image_size or input_shape, not both")
        return _positive(input_shape)
    if image_size is None:
        config = getattr(network, "config", None)
        image_size = getattr(config, "image_size", None)
        if image_size is None:
            raise PassRefusedError(f"{type(network).__name__}: give image_size or input_shape")
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, tuple) or len(size) != 2:
        raise UsageError(f"image_size {image_size!r}: expected a number of pixels, or (height, width)")
    return _positive((1, 3, *size))


def _positive(shape: tuple[int, ...]) -> tuple[int, ...]:
    numbers: tuple[object, ...] = shape  # what a caller without a type checker may give
    if not all(isinstance(n, int) and n > 0 for n in numbers):
        raise UsageError(f"input shape {tuple(shape)}: expected whole numbers above 0")
    return tuple(shape)
