"""The task gate: an artifact asked about labelled pictures beside the network that it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neonext_ascend.errors import ParityError
from neonext_ascend.evaluate.accuracy import Accuracy
from neonext_ascend.evaluate.dataset import Dataset
from neonext_ascend.evaluate.paired import Pair
from neonext_ascend.jobs.evaluating_pictures import Asking, Contestant
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.reporting.accuracy import gate_text
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
class Gated:
    """The network's accuracy and the artifact's, on the same pictures.

    Args:
        network, artifact: the accuracies.
        pair: their discordant pictures; the network is the first.
        max_drop: points of top-1 that may be lost.
    """

    network: Accuracy
    artifact: Accuracy
    pair: Pair
    max_drop: float

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "images": self.pair.images,
            "network": self.network.to_json()["top1"],
            "artifact": self.artifact.to_json()["top1"],
            **self.pair.to_json(["network", "artifact"], self.max_drop),
        }

    def __str__(self) -> str:
        drop = f"top-1 {100 * self.network.top1.value:.2f} % in PyTorch, {100 * self.artifact.top1.value:.2f} % here"
        return f"{gate_text(self.pair, self.max_drop)} ({drop}, {self.pair.images} pictures)"


class GateRefusedError(ParityError):
    """The artifact loses more top-1 than it may; carries the figures. Nothing was left under the final name."""

    def __init__(self, message: str, gated: Gated) -> None:
        super().__init__(message)
        self.gated = gated


def gate(subject: Subject, artifact: Path, request: GateRequest, watch: Watch, device: int = 0) -> Gated:
    """Ask both about every picture.

    Args:
        subject: the network as it was trained.
        artifact: with its manifest beside it; ONNX Runtime on the CPU or the device runs it.
        request: pictures and bound.
        watch: told of the progress and of each picture that cannot be read.
        device: number of the NPU.

    Raises:
        GateRefusedError: the one-sided 95 % lower bound of the paired drop is beyond the bound.
        UsageError, FileAccessError: the data set is none, or has other classes.
    """
    data = request.dataset
    with Contestant.opened(artifact, data, "auto", device) as contestant:
        name = Path(subject.network.config.name)
        network = replace(contestant, path=name, runner=subject.runner(), published=None)
        asking = Asking([network, contestant], data, None, watch)
        asking.run()
        tally = asking.tally
        sides = [each.accuracy(tally.top1(i), tally.top5(i)) for i, each in enumerate((network, contestant))]
    found = Gated(sides[0], sides[1], Pair(0, 1, *tally.only(0, 1), tally.images), request.max_drop)
    if found.pair.gate(request.max_drop).refused:
        raise GateRefusedError(f"{artifact.name}: {found}; nothing was written", found)
    return found
