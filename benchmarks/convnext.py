"""ConvNeXt-T (arXiv 2201.03545), the network that NeoNeXt-T is compared with, and its ONNX files.

Stem: 4x4 convolution of stride 4, LayerNorm. Four stages of 3, 3, 9, 3 blocks and 96, 192, 384, 768 channels; between
them LayerNorm and a 2x2 convolution of stride 2. Block: ``x + gamma * W2 gelu(W1 norm(dw7x7(x)))``. Head: mean,
LayerNorm, classifier. What ONNX Runtime makes of a file depends on how the same network is written down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.torch_exporter import export_with_torch
from neonext_ascend.models.layers import GlobalAveragePool, LayerScale, Permute, Residual
from neonext_ascend.models.neonext import redraw_at_order_one

DEPTHS, WIDTHS, CLASSES, IMAGE_SIZE = (3, 3, 9, 3), (96, 192, 384, 768), 1000, 224
PARAMETERS = 28_589_128
EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Form:
    """How the network is written down; its values are the same.

    Args:
        fused_gelu: GELU in the order of operations that ONNX Runtime recognises; ``nn.GELU`` leaves torch's exporter at
            opset 18 in another one and stays five operators.
        convolutions: the two matrices of a block as 1x1 convolutions, as in some libraries, not as linear layers.
    """

    fused_gelu: bool
    convolutions: bool


FORMS: Mapping[str, Form] = {
    "as exported": Form(fused_gelu=False, convolutions=False),
    "GELU fused": Form(fused_gelu=True, convolutions=False),
    "GELU fused, 1x1 convolutions": Form(fused_gelu=True, convolutions=True),
}


def convnext_t(form: Form, seed: int = 0) -> nn.Module:
    """``(N, 3, 224, 224)`` to ``(N, 1000)`` with random weights of order 1, the same for every form."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 4, stride=4), *_channels_first_norm(WIDTHS[0])]
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        if stage:
            before = WIDTHS[stage - 1]
            layers += [*_channels_first_norm(before), nn.Conv2d(before, width, 2, stride=2)]
        layers += [Residual(_block(width, form)) for _ in range(depth)]
    head = [GlobalAveragePool(), nn.LayerNorm(WIDTHS[-1], eps=EPS), nn.Linear(WIDTHS[-1], CLASSES)]
    network = nn.Sequential(*layers, *head).eval()
    count = sum(parameter.numel() for parameter in network.parameters())
    if count != PARAMETERS:
        raise AssertionError(f"this ConvNeXt-T has {count} parameters; expected {PARAMETERS}")
    redraw_at_order_one(network, seed)
    return network


def export_convnext_t(path: Path, form: Form, batch_size: int) -> None:
    """Write the ONNX file."""
    export_with_torch(convnext_t(form), torch.zeros(batch_size, 3, IMAGE_SIZE, IMAGE_SIZE), path)


def _channels_first_norm(channels: int) -> list[nn.Module]:
    """LayerNorm over the channels of ``(N, C, H, W)``."""
    return [Permute(0, 2, 3, 1), nn.LayerNorm(channels, eps=EPS), Permute(0, 3, 1, 2)]


def _block(channels: int, form: Form) -> nn.Sequential:
    """A block's branch on ``(N, C, H, W)``."""
    depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
    gelu = Gelu() if form.fused_gelu else nn.GELU()
    if form.convolutions:
        return nn.Sequential(
            depthwise,
            *_channels_first_norm(channels),
            nn.Conv2d(channels, 4 * channels, 1),
            gelu,
            nn.Conv2d(4 * channels, channels, 1),
            ChannelsFirstScale(channels, 1.0),
        )
    return nn.Sequential(
        depthwise,
        Permute(0, 2, 3, 1),
        nn.LayerNorm(channels, eps=EPS),
        nn.Linear(channels, 4 * channels),
        gelu,
        nn.Linear(4 * channels, channels),
        LayerScale(channels, 1.0),
        Permute(0, 3, 1, 2),
    )


class Gelu(nn.Module):
    """``x (1 + erf(x / sqrt 2)) / 2``, in this order."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.erf(x / math.sqrt(2.0)) + 1.0) * 0.5


class ChannelsFirstScale(LayerScale):
    """``gamma * x`` on ``(N, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma.view(-1, 1, 1) * x
