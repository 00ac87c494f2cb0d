"""Whether fp16, in which a card computes, would hold what a network gives at each layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neonext_ascend.precision.half import BEYOND


@dataclass(frozen=True, slots=True)
class Beyond:
    """A layer whose largest output leaves fp16: its name and that magnitude; infinite for NaN."""

    layer: str
    largest: float

    def __str__(self) -> str:
        return (
            f"{self.layer} gives {self.largest:.4g}, beyond fp16's 65504: a card that computes in fp16 cannot hold it"
        )


@torch.no_grad()
def beyond_half(net: nn.Module, x: Tensor) -> list[Beyond]:
    """The layers of a network, as deployed, whose outputs leave fp16; its mode and its statistics stay.

    Args:
        net: any network.
        x: pictures ``(N, 3, H, W)`` on its device.
    """
    found: list[Beyond] = []
    handles, modes = [], {module: module.training for module in net.modules()}

    def look(name: str, y: Tensor) -> None:
        largest = float(torch.nan_to_num(y.detach().abs(), nan=torch.inf).amax())
        if largest >= BEYOND:
            found.append(Beyond(name, largest))

    for name, module in net.named_modules():
        if not list(module.children()) or type(module).__name__ == "NeoCell":
            handles.append(module.register_forward_hook(lambda _, __, y, name=name: look(name, y)))
    try:
        net.eval()(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return found
