"""The parity check against the unfolded network in PyTorch, of a file or of a prepared network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

from torch import nn

from neonext_ascend.data import sample_pictures
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.models.neonext import NeoNeXt, redraw_at_order_one
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.spec import BATCH, INPUT, OUTPUT, Layout, TensorSpec, Tolerance
from neonext_ascend.verify.feeds import DYNAMIC_BATCHES, feeds_for
from neonext_ascend.verify.parity import OpenWithPoints, ParityReport, check_parity

ReferenceDtype = Literal["fp32", "fp64"]
OpenPrepared = Callable[[nn.Module, tuple[TensorSpec, ...], tuple[TensorSpec, ...]], Runner]


def check_artifact(
    open_artifact: OpenWithPoints,
    network: NeoNeXt,
    points: dict[str, str],
    batch_size: int | None,
    preprocessing: Preprocessing | None,
    tolerance: Tolerance,
    reference_dtype: ReferenceDtype = "fp32",
    layout: Layout = "nchw",
) -> ParityReport:
    """An artifact in its runtime against the unfolded network in PyTorch.

    Args:
        open_artifact: opens it, with these inner tensors as further outputs.
        network: the reference.
        points: tensor in the file -> module path.
        batch_size: the artifact's; ``None`` checks several, all gears of one that has them.
        preprocessing: for the sample pictures; ``None`` leaves them out.
        tolerance: the bounds.
        reference_dtype: in which the reference computes.
        layout: of the maps in the file.
    """
    with open_artifact(()) as candidate:
        shape = (BATCH if batch_size is None else batch_size, 3, *network.config.image_size)
        return check_parity(
            candidate,
            open_artifact,
            reference_runner(network, points, reference_dtype, layout),
            feeds_for(shape, preprocessing, sample_pictures(), batches=candidate.gears or DYNAMIC_BATCHES),
            list(points),
            tolerance,
        )


def reference_runner(
    network: NeoNeXt, points: dict[str, str], dtype: ReferenceDtype = "fp32", layout: Layout = "nchw"
) -> EagerRunner:
    """The unfolded network in fp32 or, on a copy, in fp64; points in the order of ``layout``."""
    numpy_dtype = "float64" if dtype == "fp64" else "float32"
    if dtype == "fp64":
        network = copy.deepcopy(network).double()
    inputs = (TensorSpec(INPUT, numpy_dtype, (BATCH, 3, *network.config.image_size)),)
    outputs = (TensorSpec(OUTPUT, numpy_dtype, (BATCH, network.config.num_classes)),)
    return EagerRunner(network, inputs, outputs, points, layout)


def twin_of(network: NeoNeXt) -> NeoNeXt:
    """The same network with every parameter and statistic redrawn at order 1."""
    twin = copy.deepcopy(network)
    redraw_at_order_one(twin, seed=1)
    return twin


def check_prepared(
    network: NeoNeXt, dtype: ReferenceDtype, tolerance: Tolerance, open_prepared: OpenPrepared = EagerRunner
) -> ParityReport:
    """The prepared network against the unfolded one, both in PyTorch, on noise.

    Args:
        network: the reference.
        dtype: in which it computes.
        tolerance: the bounds.
        open_prepared: gives the prepared network's runner from (network, inputs, outputs); on the CPU by default.
    """
    deployed, _ = prepare(network)
    config = network.config
    inputs = (TensorSpec(INPUT, "float32", (BATCH, 3, *config.image_size)),)
    outputs = (TensorSpec(OUTPUT, "float32", (BATCH, config.num_classes)),)
    with open_prepared(deployed, inputs, outputs) as candidate:
        return check_parity(
            candidate,
            lambda _: candidate,
            reference_runner(network, {}, dtype),
            feeds_for(inputs[0].shape, None, []),
            [],
            tolerance,
        )
