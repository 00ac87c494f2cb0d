"""ConvNeXt T, S and B (arXiv 2201.03545), the networks that NeoNeXt is compared with.

Stem: 4x4 convolution of stride 4, LayerNorm. Four stages; between them LayerNorm and a 2x2 convolution of stride 2.
Block: ``x + gamma * W2 gelu(W1 norm(dw7x7(x)))``. Head: mean, LayerNorm, classifier. What ONNX Runtime makes of a file
depends on how the same network is written down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neonext_ascend.models.layers import GlobalAveragePool, LayerScale, Permute, Residual

CLASSES, EPS = 1000, 1e-6
# letter: blocks and channels of the four stages
SIZES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "t": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "s": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "b": ((3, 3, 27, 3), (128, 256, 512, 1024)),
}


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


def convnext(letter: str, form: Form = FORMS["as exported"]) -> nn.Module:
    """``(N, 3, H, W)`` to ``(N, 1000)``."""
    depths, widths = SIZES[letter]
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4), *_channels_first_norm(widths[0])]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        if stage:
            before = widths[stage - 1]
            layers += [*_channels_first_norm(before), nn.Conv2d(before, width, 2, stride=2)]
        layers += [Residual(_block(width, form)) for _ in range(depth)]
    head = [GlobalAveragePool(), nn.LayerNorm(widths[-1], eps=EPS), nn.Linear(widths[-1], CLASSES)]
    return nn.Sequential(*layers, *head)


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
