"""The task gate: an artifact asked about labelled pictures beside the network that it was made from.

ONNX Runtime's CPU kernels keep float32 between fp16 nodes, and an OM runs on its chip alone: where half precision
is meant and no device is here, what answers is the ONNX file computed as the chip may compute it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neonext_ascend.errors import ArtifactError, ParityError, UsageError
from neonext_ascend.evaluate.accuracy import Accuracy
from neonext_ascend.evaluate.paired import Pair
from neonext_ascend.images.dataset import Dataset, open_dataset
from neonext_ascend.jobs.evaluation.pictures import Asking, Contestant
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.precision.half import OVERFLOWS, Overflow
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.precision.running import HalfRunner
from neonext_ascend.reporting.accuracy import gate_text
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.verify.subject import Subject


@dataclass(frozen=True)
class GateRequest:
    """What an artifact has to keep.

    Args:
        dataset: labelled pictures.
        max_drop: points of top-1 that it may be behind the network.
    """

    dataset: Dataset
    max_drop: float


@dataclass(frozen=True)
class Simulated:
    """An ONNX file as a chip may compute it.

    Args:
        overflows: the chip's way of overflowing, or both: the worse counts.
        mode: what is rounded.
        told: of what that is the judgement, to be told with it.
    """

    overflows: tuple[Overflow, ...] = OVERFLOWS
    mode: HalfMode = ALL
    told: str = ""


@dataclass(frozen=True)
class Gated:
    """The network's accuracy and the artifact's, on the same pictures.

    Args:
        network, artifact: the accuracies.
        pair: their discordant pictures; the network is the first.
        max_drop: points of top-1 that may be lost.
        judged_by: what answered for the artifact, in words.
    """

    network: Accuracy
    artifact: Accuracy
    pair: Pair
    max_drop: float
    judged_by: str

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "images": self.pair.images,
            "judged_by": self.judged_by,
            "network": self.network.to_json()["top1"],
            "artifact": self.artifact.to_json()["top1"],
            **self.pair.to_json(["network", "artifact"], self.max_drop),
        }

    def __str__(self) -> str:
        drop = f"top-1 {100 * self.network.top1.value:.2f} % in PyTorch, {100 * self.artifact.top1.value:.2f} % here"
        return (
            f"{gate_text(self.pair, self.max_drop)} ({drop}, {self.pair.images} pictures); judged by {self.judged_by}"
        )


class GateRefusedError(ParityError):
    """The artifact loses more top-1 than it may, or has no answers in half precision; carries the figures.

    Nothing was left under the final name.
    """

    def __init__(self, message: str, gated: Gated | None) -> None:
        super().__init__(message)
        self.gated = gated


def gate(
    subject: Subject,
    artifact: Path,
    request: GateRequest,
    watch: Watch,
    simulated: Simulated | None = None,
    name: str = "",
) -> Gated:
    """Refuse an artifact that loses too much.

    Args:
        subject, artifact, request, watch, simulated: as of :func:`judged`.
        name: of what is to be written, where that is not the artifact.

    Raises:
        GateRefusedError: the one-sided 95 % lower bound of the paired drop is beyond the bound.
        UsageError, FileAccessError: the data set is none, or has other classes.
    """
    found = judged(subject, artifact, request, watch, simulated)
    if found.pair.gate(request.max_drop).refused:
        raise GateRefusedError(f"{name or artifact.name}: {found}; nothing was written", found)
    return found


def judged(
    subject: Subject, artifact: Path, request: GateRequest, watch: Watch, simulated: Simulated | None = None
) -> Gated:
    """Ask both about every picture.

    Args:
        subject: the network as it was trained.
        artifact: with its manifest beside it.
        request: pictures and bound.
        watch: told of the progress and of each picture that cannot be read.
        simulated: how an ONNX file is computed in half precision; without it ONNX Runtime on the CPU or the device runs
            the artifact.

    Raises:
        GateRefusedError: in half precision it gives NaN or infinity.
        UsageError, FileAccessError: the data set is none, or has other classes.
    """
    data = request.dataset
    with ExitStack() as stack:
        sides = [Contestant.of(artifact, data, stack.enter_context(runner)) for runner in _runners(artifact, simulated)]
        recipe = sides[0].recipe
        host = replace(recipe, preprocessing=replace(recipe.preprocessing, normalised_on="host"))
        name = Path(subject.network.config.name)
        network = replace(sides[0], path=name, runner=subject.runner(), recipe=host, published=None)
        asking = Asking([network, *sides], data, None, watch)
        try:
            asking.run()
        except ArtifactError as error:
            if simulated is None:
                raise
            raise GateRefusedError(f"{error} (on the gate's pictures); nothing was written", None) from None
        tally = asking.tally
        first, *others = (each.accuracy(tally.top1(i), tally.top5(i)) for i, each in enumerate((network, *sides)))
    told = f"; {simulated.told}" if simulated is not None and simulated.told else ""
    found = [
        Gated(first, other, Pair(0, 1, *tally.only(0, i), tally.images), request.max_drop, other.where + told)
        for i, other in enumerate(others, 1)
    ]
    return max(found, key=lambda one: one.pair.drop.low)


def _runners(artifact: Path, simulated: Simulated | None) -> list[Runner]:
    if simulated is None:
        return [open_runner(artifact)]
    return [HalfRunner(artifact, way, simulated.mode) for way in simulated.overflows]


def gate_request(dataset: str | Path | None, max_drop: float | None) -> GateRequest | None:
    """Of ``--gate`` and ``--max-drop``; ``None`` where no data set is given.

    Raises:
        UsageError: ``--max-drop`` alone, or an empty set.
    """
    if dataset is None and max_drop is not None:
        raise UsageError(f"--max-drop {max_drop:g}: is of --gate; give labelled pictures with it")
    if dataset is None:
        return None
    return GateRequest(open_dataset(Path(dataset)).refusing_empty(), 0.2 if max_drop is None else max_drop)
