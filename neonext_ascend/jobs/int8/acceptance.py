"""Whether calibration pictures will do: how many, of how many classes, no noise, prepared as in training.

BatchNorm remembers mean and variance of each channel over the training pictures. A calibration set of the same kind
gives nearly the same; the distance is Kullback-Leibler's between two normal distributions, the median over a layer's
channels, the largest over the layers. For neonext_nano held-out digits have 0.03, other writers' digits 0.09; at half
the brightness 0.31, noise 0.5 and more, inverted, not normalised or by ImageNet's mean and std 1.2 and more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neonext_ascend.errors import UsageError, counted
from neonext_ascend.jobs.int8.calibration import Pictures
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.models.features import Network

FEWEST = 32
_NOISE, _ENLARGED, _FAR, _MOST_OF_ONE = 0.3, 0.1, 0.25, 0.95
_ASKED = 64  # pictures that the network is asked about; a mean over them is sharp enough
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found of a set.

    Args:
        pictures: how many are in use.
        classes: of labels, or of the network's own answers; ``None`` of an untrained network without labels.
        largest: share of the class that has most; 0 where classes are not known.
        labelled: whether they are labels.
        correlation: of neighbouring pixels, the median over the pictures.
        farther: of pixels a sixteenth of the side apart; noise that was enlarged has none there.
        distance: from what BatchNorm remembers; ``None`` of an untrained network.
        layer: where that is largest.
    """

    pictures: int
    classes: int | None
    largest: float
    labelled: bool
    correlation: float
    farther: float
    distance: float | None
    layer: str

    def refusal(self) -> str:
        """Why the set will not do; empty where it will."""
        if self.pictures < FEWEST:
            return (
                f"holds {counted(self.pictures, 'picture')}; expected at least {FEWEST}, some hundred are better: "
                "scales from so few do not reach what other pictures do"
            )
        if self.correlation < _NOISE:
            return (
                f"its pictures are noise: neighbouring pixels correlate by {self.correlation:.2f}, in pictures by "
                f"{_NOISE:g} and more; give pictures such as the network will see"
            )
        if self.farther < _ENLARGED:
            return (
                "its pictures are noise, enlarged: pixels a sixteenth of the side apart correlate by "
                f"{self.farther:.2f}, in pictures by {_ENLARGED:g} and more; give pictures such as the network will see"
            )
        if self.largest > _MOST_OF_ONE:
            by = "" if self.labelled else " by the network's own answers"
            share = "" if self.classes == 1 else f"{100 * self.largest:.0f} % of "
            return f"{share}its pictures are of one class{by}; give pictures of all classes that the network will see"
        if self.distance is not None and self.distance > _FAR:
            return (
                f"its pictures are others than the network was trained on, or prepared otherwise: at {self.layer} they "
                f"are {self.distance:.2f} nats from what BatchNorm remembers, expected {_FAR:g} or less"
            )
        return ""

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "pictures": self.pictures,
            "classes": self.classes,
            "labelled": self.labelled,
            "correlation": self.correlation,
            "distance": self.distance,
        }


def accepted(pictures: Pictures, network: Network, *, trained: bool, anyway: bool, watch: Watch) -> Facts:
    """Look at a set, and refuse one that will not do.

    Raises:
        UsageError: it will not, and ``anyway`` was not said.
    """
    facts = facts_of(pictures, network if trained else None)
    refused(pictures, facts, anyway=anyway, watch=watch)
    if not trained:
        watch.note("untrained: BatchNorm remembers nothing that the calibration pictures could be held against")
    return facts


def refused(pictures: Pictures, facts: Facts, *, anyway: bool, watch: Watch) -> None:
    """Say what is wrong with a set, where something is.

    Raises:
        UsageError: it will not do, and ``anyway`` was not said.
    """
    told = facts.refusal()
    if told and not anyway:
        raise UsageError(f"--calibration {pictures.folder}: {told}; --calibration-anyway takes them")
    if told:
        watch.warn(f"--calibration {pictures.folder}: {told}; taken all the same")


def facts_of(pictures: Pictures, network: Network | None = None) -> Facts:
    """What is found of a set, by a trained network too if there is one."""
    classes, distance, layer = Counter[str | int](pictures.labels), None, ""
    if network is not None:
        answered, (layer, distance) = _asked(pictures, network)
        classes = classes or Counter[str | int](answered)
    largest = max(classes.values(), default=0) / max(classes.total(), 1)
    known, labelled = len(classes) or None, bool(pictures.labels)
    grey = _grey(pictures)
    near, far = _correlation(grey, 1), _correlation(grey, max(grey.shape[-1] // 16, 1))
    return Facts(len(pictures.pixels), known, largest, labelled, near, far, distance, layer)


def _grey(pictures: Pictures) -> NDArray[np.float32]:
    """Without its mean; of inputs that are no pictures nothing."""
    inputs = pictures.preprocessing is None
    if inputs and (pictures.pixels.ndim != 4 or pictures.pixels.shape[1] not in (1, 3)):
        return np.zeros((1, 1, 1), np.float32)
    grey: NDArray[np.float32] = pictures.pixels.mean(axis=1 if inputs else -1, dtype=np.float32)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    return grey


def _correlation(grey: NDArray[np.float32], apart: int) -> float:
    """Of pixels of one row, the median over the pictures."""
    if grey.shape[-1] <= apart:
        return 1.0
    left, right = grey[:, :, :-apart], grey[:, :, apart:]
    scale = np.sqrt((left**2).sum((1, 2)) * (right**2).sum((1, 2)))
    plain = scale < _TINY  # a picture of one colour is no noise
    found = np.where(plain, 1.0, (left * right).sum((1, 2)) / np.where(plain, 1.0, scale))
    return float(np.median(found))


@torch.no_grad()
def _asked(pictures: Pictures, network: Network) -> tuple[list[int], tuple[str, float]]:
    """The class that the network names for each, and where it is farthest from what it remembers."""
    sums: dict[str, list[Tensor]] = {}
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}

    def seen(name: str, x: Tensor) -> None:
        rows = x.double().transpose(0, 1).flatten(1)
        one = [rows.sum(1), (rows**2).sum(1), torch.tensor(float(rows.shape[1]))]
        sums[name] = [a + b for a, b in zip(sums[name], one, strict=True)] if name in sums else one

    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: seen(name, given[0]))
        for name, module in layers.items()
    ]
    try:
        answered = [
            int(index) for batch in pictures.batches(1, _ASKED) for index in network(torch.from_numpy(batch)).argmax(1)
        ]
    finally:
        for hook in hooks:
            hook.remove()
    distances = {name: _distance(layers[name], *found) for name, found in sums.items()}
    return answered, max(distances.items(), key=lambda one: one[1], default=("", 0.0))


def _distance(layer: nn.BatchNorm2d, total: Tensor, squares: Tensor, count: Tensor) -> float:
    mean = total / count
    variance = (squares / count - mean**2).clamp_min(_TINY)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    known = layer.running_var.double().clamp_min(_TINY)
    shift = (mean - layer.running_mean.double()) ** 2 / known
    nats = 0.5 * (variance / known + shift - 1 - torch.log(variance / known))
    return float(nats.median())
