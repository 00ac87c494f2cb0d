"""The networks that NeoNeXt is timed against, by name, with weights of order 1.

They are written out here: timm 1.0.31 does not import without torchvision, which would bring another torch. The count
of parameters tells that each is the network of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.rivals.convnext import FORMS, convnext
from benchmarks.rivals.deit import DeitS
from benchmarks.rivals.resnet import resnet_50
from benchmarks.rivals.torch_exporter import export_with_torch
from neonext_ascend.models.neonext import redraw_at_order_one

IMAGE_SIZE = 224
WHY_WRITTEN_OUT = "timm 1.0.31 does not import without torchvision, so the rivals are written out in `benchmarks/`"


@dataclass(frozen=True, slots=True)
class Rival:
    """How a network is built, and the number of its parameters."""

    build: Callable[[], nn.Module]
    parameters: int


CONVNEXT_PARAMETERS = {"t": 28_589_128, "s": 50_223_688, "b": 88_591_464}
RIVALS: Mapping[str, Rival] = {
    **{
        f"ConvNeXt-T ({name})": Rival(partial(convnext, "t", form), CONVNEXT_PARAMETERS["t"])
        for name, form in FORMS.items()
    },
    "ConvNeXt-S": Rival(partial(convnext, "s"), CONVNEXT_PARAMETERS["s"]),
    "ConvNeXt-B": Rival(partial(convnext, "b"), CONVNEXT_PARAMETERS["b"]),
    "DeiT-S": Rival(DeitS, 22_050_664),
    "ResNet-50": Rival(resnet_50, 25_557_032),
}


def build_rival(name: str) -> nn.Module:
    """The network in evaluation mode.

    Raises:
        AssertionError: it has another number of parameters than the network of that name.
    """
    rival = RIVALS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = rival.build().eval()
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != rival.parameters:
        raise AssertionError(f"this {name} has {count} parameters; expected {rival.parameters}")
    redraw_at_order_one(network)
    return network


def export_rival(network: nn.Module, path: Path, batch_size: int) -> None:
    """Write the ONNX file as torch's own exporter gives it."""
    export_with_torch(network, torch.zeros(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE), path)
