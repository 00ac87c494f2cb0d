"""Second moments of what each layer sums over, in int8, on pictures: all that rounding its weight has to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from neonext_ascend.exporters.int8.decision import HIGHEST, LOWEST, Int8Layer
from neonext_ascend.precision.int8.candidates import Candidate
from neonext_ascend.precision.int8.collecting import values_of

# Places that are looked at in each picture: neighbours are alike.
_PLACES = 64
# Numbers that an output sums over; the table of their moments would take 256 MiB and more.
MOST_TERMS = 8192


@dataclass(frozen=True)
class Form:
    """The squared error of a layer's outputs, by ``d``, what rounding adds to its weight: ``d g d + 2 d b + c``.

    Attributes:
        g: ``(groups, terms, terms)``.
        b: ``(groups, outputs, terms)``, by which rounding can make up for its inputs' being int8.
        c: ``(groups, outputs)``, of the inputs alone.
    """

    g: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor


class Moments:
    """Sums over places, of ``x`` in int8 and of ``e``, what outputs with the weight itself err by as it is.

    Args:
        weight: ``(groups, outputs, terms)``.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        groups, outputs, terms = weight.shape
        self.weight, self.count = weight, 0
        self.xx, self.x = torch.zeros(groups, terms, terms), torch.zeros(groups, terms)
        self.ex, self.ee = torch.zeros(groups, outputs, terms), torch.zeros(groups, outputs)
        self.e = torch.zeros(groups, outputs)

    def add(self, x: torch.Tensor, rounded: torch.Tensor) -> None:
        """Count places: ``(groups, terms, places)``, ``rounded`` what int8 adds to ``x``."""
        e = self.weight @ rounded
        self.xx += x @ x.transpose(1, 2)
        self.ex += e @ x.transpose(1, 2)
        self.ee += (e * e).sum(2)
        self.x += x.sum(2)
        self.e += e.sum(2)
        self.count += x.shape[2]

    def form(self, *, centred: bool) -> Form:
        """In the mean; of the error less its mean where a bias takes that away."""
        count = max(self.count, 1)
        x, e = (self.x / count, self.e / count) if centred else (torch.zeros_like(self.x), torch.zeros_like(self.e))
        return Form(
            self.xx / count - x.unsqueeze(2) * x.unsqueeze(1),
            self.ex / count - e.unsqueeze(2) * x.unsqueeze(1),
            self.ee / count - e * e,
        )


def refusal(one: Candidate, node: NodeProto) -> str:
    """Why a layer is rounded to nearest all the same; empty where it need not be."""
    told = _attributes(node)
    if told.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return f"its pads are left to the runtime (auto_pad {told['auto_pad'].decode()})"
    terms = one.weight.size // one.weight.shape[one.outputs]
    if terms > MOST_TERMS:
        return f"an output sums over {terms} numbers, more than {MOST_TERMS}"
    return ""


def moments(
    model: ModelProto,
    layers: Sequence[tuple[Candidate, Int8Layer]],
    inputs: Iterable[NDArray[np.float32]],
    seed: int,
) -> Mapping[str, Moments]:
    """Of these layers by name, in one pass over the inputs.

    Args:
        model: float32, with one input.
        layers: of it, with their scales.
        inputs: of its shape, one after the other.
        seed: by which the places are drawn.
    """
    nodes = {node.name: node for node in model.graph.node}
    draw = np.random.default_rng(seed)
    found = {one.name: Moments(in_steps(one, layer)) for one, layer in layers}
    for values in values_of(model, {one.value: None for one, _ in layers}, inputs):
        for one, layer in layers:
            value = values[one.value]
            whole = np.clip(np.rint(value * layer.quantiser), LOWEST, HIGHEST) * layer.scale_d
            both = torch.from_numpy(np.concatenate([whole, whole - value]))
            found[one.name].add(*_places(both, one, nodes[one.name], draw))
    return found


def in_steps(one: Candidate, layer: Int8Layer) -> torch.Tensor:
    """The weight in steps of its scales, ``(groups, outputs, terms)``."""
    groups, per_channel = one.groups, layer.scale_w.size > 1
    steps = torch.from_numpy(layer.scale_w).reshape((groups, -1, 1) if per_channel else (1, 1, 1))
    return in_rows(one, one.weight) / steps


def in_rows(one: Candidate, weight: NDArray[Any]) -> torch.Tensor:
    """A weight in the shape of its constant as ``(groups, outputs, terms)``."""
    rows = np.array(weight.T if one.outputs == 1 else weight, np.float32)
    return torch.from_numpy(rows).reshape(one.groups, len(rows) // one.groups, -1)


def _places(both: torch.Tensor, one: Candidate, node: NodeProto, draw: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """What outputs sum over, ``(groups, terms, places)``, of each half of a batch, at the same places."""
    if one.operator != "Conv":
        rows = both.reshape(2, -1, both.shape[-1])
        chosen = rows[:, _some(rows.shape[1], draw, len(both) // 2)]
        return tuple(half.T.unsqueeze(0) for half in chosen)
    told = _attributes(node)
    top, left, bottom, right = told.get("pads", (0, 0, 0, 0))
    padded = F.pad(both, (left, right, top, bottom))
    patches = F.unfold(
        padded, one.weight.shape[2:], tuple(told.get("dilations", (1, 1))), stride=tuple(told.get("strides", (1, 1)))
    )
    chosen = patches[:, :, _some(patches.shape[2], draw)]
    terms = one.weight.size // len(one.weight)
    return tuple(half.transpose(0, 1).reshape(one.groups, terms, -1) for half in chosen.chunk(2))


def _some(places: int, draw: np.random.Generator, pictures: int = 1) -> NDArray[np.int64]:
    return np.sort(draw.choice(places, min(places, pictures * _PLACES), replace=False))


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
