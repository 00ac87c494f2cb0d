"""All passes in their order: from a trained network to the one that is deployed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.kernels.lowerings import LoweringRule
from neonext_ascend.models.arguments import image_size_of, one_of, whole_numbers
from neonext_ascend.models.layers import tensors_in
from neonext_ascend.passes.base import Pass, Report
from neonext_ascend.passes.channels_first import ChannelsFirst
from neonext_ascend.passes.fold_batchnorm import FoldBatchNorm
from neonext_ascend.passes.fold_downsampling import FoldDownsampling
from neonext_ascend.passes.fold_layer_scale import FoldLayerScale
from neonext_ascend.passes.fold_layernorm import FoldLayerNorm
from neonext_ascend.passes.fold_space_to_depth import FoldSpaceToDepth
from neonext_ascend.passes.frozen.layers import Frozen
from neonext_ascend.passes.graph import as_graph, modules, results_of
from neonext_ascend.passes.keep_padding import KeepPadding
from neonext_ascend.passes.lower_neocell import LowerNeoCell
from neonext_ascend.passes.move_shift import MoveShift
from neonext_ascend.passes.plain import unwrapped
from neonext_ascend.passes.remove_noops import RemoveNoops
from neonext_ascend.passes.shapes import propagate_shapes
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
    lowering: LoweringName | LoweringRule | None = "blockdiag",
) -> tuple[fx.GraphModule, Report]:
    """Fold everything that folds and lower NeoCell; the network itself stays untouched.

    Constants are folded in float64 and kept as float32, whatever dtype the network's own are in.

    Args:
        network: a NeoNeXt, or any traceable module that holds NeoCells, in evaluation mode, with one input, that
            returns a tensor, or a list, tuple or dict of tensors. It may be wrapped (torch.compile, DataParallel), and
            its weights may be parametrised.
        image_size: pixels, one number or (height, width); the input is then ``(1, 3, H, W)``. By default that of
            the network's own configuration.
        input_shape: instead, where the input is something else, batch included.
        defer: leave the folded weights to be computed when they are exported, one at a time. They then share the
            network's parameters: do not train on before the export.
        layout: of the maps inside: ``(N, C, H, W)``, or ``[C, H, N, W]`` without a convolution. Input and output are
            the same in both.
        lowering: of every NeoCell, or a rule that names each one's; ``None`` only folds, which nothing can export.

    Returns:
        The new network and what each pass did and refused.

    Raises:
        PassRefusedError: training mode, a forward that cannot be traced, an input that does not fit, or weights that
            are not there.
        UsageError: a size, layout or lowering that is none.
        GeometryError: a map is too small for a NeoCell.
    """
    network = unwrapped(network)
    if INPUT_SHAPE in getattr(network, "meta", {}):
        raise PassRefusedError("this network was prepared already; give the one that it was made from")
    training = next((path for path, module in network.named_modules() if module.training), None)
    if training is not None:
        raise PassRefusedError(
            f"{training or type(network).__name__} is in training mode: BatchNorm would use each batch's own "
            "statistics; call .eval() on the whole network first"
        )
    one_of(layout, LAYOUTS, "layout")
    if lowering is not None and not callable(lowering):
        one_of(lowering, LOWERINGS, "lowering")
    shape = _input_shape(network, image_size, input_shape)
    _check_weights(network, defer)
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
    ]
    if lowering is not None:
        order += [
            LowerNeoCell(shape, layout, lowering),
            *([KeepPadding(layout)] if callable(lowering) or lowering == "padded" else []),
            *([ToChnw()] if layout == "chnw" else []),
        ]
    current = as_graph(network)
    report = Report(tuple(step.rewrite(current) for step in order))
    current.recompile()  # once: it costs more than most passes
    propagate_shapes(current, shape)
    results_of(current)
    current.meta[INPUT_SHAPE] = shape
    if not defer:
        _materialize(current)
        _check_function(network, current, shape)
    return current.eval(), report


def _check_weights(network: nn.Module, defer: bool) -> None:
    """A network on the meta device has shapes, which is enough to count by, but no numbers."""
    devices = {tensor.is_meta for tensor in (*network.parameters(), *network.buffers())}
    if devices == {True, False} or (True in devices and not defer):
        raise PassRefusedError(
            f"{type(network).__name__} has weights on the meta device, which holds no numbers; load them first: "
            "network.to_empty(device='cpu'), then load_state_dict"
        )


def _materialize(graph: fx.GraphModule) -> None:
    """Give the graph constants of its own: nothing stays shared with the original."""
    for node, module in modules(graph):
        if isinstance(module, Frozen):
            module.materialize()
        else:
            graph.add_submodule(str(node.target), copy.deepcopy(module).float())
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            holder = graph.get_submodule(owner)
            held = getattr(holder, name).detach()
            delattr(holder, name)
            holder.register_buffer(name, held.to(torch.float32 if held.is_floating_point() else held.dtype, copy=True))


def _check_function(network: nn.Module, graph: fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Compare the two on noise: a forward can do what tracing does not see (write in place, keep state).

    The bound is far above rounding and far below what any lost operation changes.
    """
    held = [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
    dtype = torch.float32
    if any(tensor.dtype != torch.float32 for tensor in held):
        # Half precision would differ by its own rounding; in float64 its numbers are the same.
        network, dtype = copy.deepcopy(network).double(), torch.float64
    device = held[0].device if held else torch.device("cpu")
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float32, device="cpu")
    for want, got in zip(_run(network, noise.to(device, dtype)), _run(graph, noise.to(device)), strict=True):
        if not bool(want.isfinite().all()):
            raise PassRefusedError(f"{type(network).__name__} gives NaN or infinity for noise; look at its weights")
        difference, scale = (got - want).abs().max(), want.abs().max()
        if not bool(difference <= _SAME * scale):
            raise PassRefusedError(
                f"the prepared {type(network).__name__} computes something else (by {float(difference):.3g} of "
                f"{float(scale):.3g}): its forward does something that tracing does not see; write it without in-place "
                "operations and state"
            )


def _run(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Every output, in float64."""
    try:
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return [y.double() for y in tensors_in(network(x))]
    except Exception as error:  # the user's forward; anything can come out
        reason = str(error).strip().splitlines()
        raise PassRefusedError(
            f"{type(network).__name__} does not run on noise {tuple(x.shape)}, {x.dtype}: "
            f"{reason[0] if reason else type(error).__name__}"
        ) from None


def _input_shape(network: nn.Module, image_size: object, input_shape: object) -> tuple[int, ...]:
    if input_shape is not None:
        if image_size is not None:
            raise PassRefusedError("give image_size or input_shape, not both")
        return whole_numbers(input_shape, "input_shape")
    if image_size is None:
        image_size = getattr(getattr(network, "config", None), "image_size", None)
        if image_size is None:
            raise PassRefusedError(f"{type(network).__name__}: give image_size or input_shape")
    return (1, 3, *image_size_of(image_size))
