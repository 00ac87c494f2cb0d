"""What is checked: a network and, where its weights hide errors, its twin; both against themselves unfolded."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from neonext_ascend.data import sample_pictures
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.models.features import Network
from neonext_ascend.models.neonext import redraw_at_order_one
from neonext_ascend.runtimes.eager import EagerRunner
from neonext_ascend.spec import BATCH, INPUT, Layout, TensorSpec, Tolerance
from neonext_ascend.verify.feeds import DYNAMIC_BATCHES, Feed, feeds_for
from neonext_ascend.verify.parity import Checked, OpenWithPoints, check_parity

ReferenceDtype = Literal["fp32", "fp64"]


@dataclass(frozen=True)
class Subject:
    """A network as it was trained, with which what was made of it is compared.

    Args:
        network: in evaluation mode, unfolded.
        preprocessing: for the sample pictures; ``None`` leaves them out.
    """

    network: Network
    preprocessing: Preprocessing | None = None

    def check(
        self,
        open_candidate: OpenWithPoints,
        tolerance: Tolerance,
        *,
        batch_size: int | None = None,
        points: Mapping[str, str] | None = None,
        reference_dtype: ReferenceDtype = "fp32",
        layout: Layout = "nchw",
    ) -> Checked:
        """What was made of the network against the network in PyTorch.

        Args:
            open_candidate: opens it, with these inner tensors as further outputs.
            tolerance: the bounds.
            batch_size: the candidate's; ``None`` checks several, all gears of one that has them.
            points: inner tensor of the candidate -> module path in the network.
            reference_dtype: in which the network computes.
            layout: of the maps in the candidate.
        """
        with open_candidate(()) as candidate:
            return check_parity(
                candidate,
                open_candidate,
                self.runner(points, reference_dtype, layout),
                self.feeds(batch_size, candidate.gears),
                list(points or ()),
                tolerance,
            )

    def feeds(self, batch_size: int | None, gears: Sequence[int] = ()) -> Iterator[Feed]:
        """Noise and pictures at a batch; ``None`` tries several, the gears where there are any."""
        shape = (BATCH if batch_size is None else batch_size, 3, *self.network.config.image_size)
        return feeds_for(shape, self.preprocessing, sample_pictures(), batches=gears or DYNAMIC_BATCHES)

    def runner(
        self, points: Mapping[str, str] | None = None, dtype: ReferenceDtype = "fp32", layout: Layout = "nchw"
    ) -> EagerRunner:
        """The network in fp32 or, on a copy, in fp64; points in the order of ``layout``."""
        network = copy.deepcopy(self.network).double() if dtype == "fp64" else self.network
        inputs, outputs = tensors_of(network, "float64" if dtype == "fp64" else "float32")
        return EagerRunner(network, inputs, outputs, points, layout)


def subjects(network: Network, *, trained: bool, preprocessing: Preprocessing | None = None) -> Iterator[Subject]:
    """The network; where it is untrained also a twin whose every parameter and statistic is of order 1.

    A fresh LayerScale of 1e-6 hides a network's blocks from its output; the twin's do not hide.
    """
    yield Subject(network, preprocessing)
    if not trained:
        twin = copy.deepcopy(network)
        redraw_at_order_one(twin, seed=1)
        yield Subject(twin)


def tensors_of(network: Network, dtype: str = "float32") -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a network in PyTorch, at any batch."""
    inputs = TensorSpec(INPUT, dtype, (BATCH, 3, *network.config.image_size))
    return (inputs,), tuple(TensorSpec(name, dtype, (BATCH, *shape)) for name, shape in network.outputs().items())
