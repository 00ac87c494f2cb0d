"""The NeoNeXt network (arXiv 2403.11251, section 3): ConvNeXt's shape with NeoCell for the depthwise convolution.

Module names are those of the authors' checkpoints, so that their state dicts load as they are.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.config import STAGES, STEM_STRIDE, NetworkConfig
from neonext_ascend.models.layers import GlobalAveragePool, LayerScale, Permute, Residual
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.spec import OUTPUT

NORM_EPS = 1e-5
HEAD_EPS = 1e-6


class NeoNeXt(nn.Module):
    """``(N, 3, H, W)`` images to ``(N, num_classes)`` logits.

    Args:
        config: what decides the graph.
        drop_path: probability of dropping the last block's branch in training; it grows linearly from 0.

    Raises:
        UsageError: the network cannot take its image size.
    """

    def __init__(self, config: NetworkConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        config.stage_sizes()
        self.config = config
        self.stem = _stem(config)
        total = sum(config.depths)
        rates = [drop_path * i / max(total - 1, 1) for i in range(total)]
        for stage in range(STAGES):
            if stage:
                self.add_module(f"downsample_{stage}", _downsample(config, stage))
            blocks = [Block(config, stage, rates.pop(0)) for _ in range(config.depths[stage])]
            self.add_module(f"stage_{stage + 1}", nn.Sequential(*blocks))
        self.head = _head(config)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to ``(N, num_classes)``."""
        for part in self.children():
            x = part(x)
        return x

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each output, without the batch."""
        return {OUTPUT: (self.config.num_classes,)}

    @property
    def form(self) -> str:
        """What a file's name says of it beside the network's own."""
        return ""


class Block(nn.Module):
    """``x + LayerScale(Linear(GELU(Linear(BatchNorm(NeoCell(x))))))`` on ``(N, C, H, W)``."""

    def __init__(self, config: NetworkConfig, stage: int, drop_path: float) -> None:
        super().__init__()
        channels, traits = config.widths[stage], config.traits
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            neocell=NeoCell(config.geometry(stage)),
            norm=nn.BatchNorm2d(channels, eps=NORM_EPS),
            to_channels_last=Permute(0, 2, 3, 1),
            fc_1=nn.Linear(channels, 4 * channels, bias=traits.linear_bias),
            act=nn.GELU(),
            fc_2=nn.Linear(4 * channels, channels, bias=traits.linear_bias),
        )
        if traits.layer_scale is not None:
            layers["layer_scale"] = LayerScale(channels, traits.layer_scale)
        layers["to_channels_first"] = Permute(0, 3, 1, 2)
        self.ops = Residual(nn.Sequential(layers), drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H, W)``."""
        y: Tensor = self.ops(x)
        return y


def _stem(config: NetworkConfig) -> nn.Sequential:
    """Space-to-depth 4 (channel order c * 16 + row * 4 + column), 1x1 convolution, BatchNorm."""
    return nn.Sequential(
        OrderedDict(
            patchify=nn.PixelUnshuffle(STEM_STRIDE),
            conv=nn.Conv2d(3 * STEM_STRIDE**2, config.widths[0], 1, bias=False),
            norm=nn.BatchNorm2d(config.widths[0], eps=NORM_EPS),
        )
    )


def _downsample(config: NetworkConfig, stage: int) -> nn.Sequential:
    """The layers in front of ``stage`` (1 to 3), in the definition's order."""
    before, after = config.widths[stage - 1], config.widths[stage]
    conv = nn.Conv2d(before, after, 1, bias=False)
    if config.traits.downsample_conv_first:
        return nn.Sequential(
            OrderedDict(
                conv=conv,
                neocell=NeoCell(Geometry.downsample(after)),
                norm_1=nn.BatchNorm2d(after, eps=NORM_EPS),
            )
        )
    return nn.Sequential(
        OrderedDict(
            neocell=NeoCell(Geometry.downsample(before)),
            norm_1=nn.BatchNorm2d(before, eps=NORM_EPS),
            act_1=nn.GELU(),
            conv=conv,
            norm_2=nn.BatchNorm2d(after, eps=NORM_EPS),
            act_2=nn.GELU(),
        )
    )


def _head(config: NetworkConfig) -> nn.Sequential:
    """Mean over the map, LayerNorm, classifier."""
    return nn.Sequential(
        OrderedDict(
            pool=GlobalAveragePool(),
            ln=nn.LayerNorm(config.widths[-1], eps=HEAD_EPS),
            fc=nn.Linear(config.widths[-1], config.num_classes),
        )
    )


def build(config: NetworkConfig, seed: int = 0, drop_path: float = 0.0) -> NeoNeXt:
    """A network in evaluation mode with NeoInit's weights; the global random state stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NeoNeXt(config, drop_path).eval()


@torch.no_grad()
def redraw_at_order_one(net: nn.Module, seed: int = 0) -> None:
    """Draw every parameter and BatchNorm statistic anew so that each matters, in place.

    A fresh network's LayerScale of 1e-6 hides whatever its blocks compute; with these weights a single
    transposed matrix moves the logits by more than a hundredth.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator).to(like)

    def normal(like: Tensor, std: float) -> Tensor:
        return std * torch.randn(like.shape, generator=generator).to(like)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.copy_(uniform(module.weight, 0.5, 1.5))
            module.bias.copy_(normal(module.bias, 0.2))
            for name, value in module.named_buffers():
                if name == "running_mean":
                    value.copy_(normal(value, 0.3))
                elif name == "running_var":
                    value.copy_(uniform(value, 0.5, 1.5))
        elif isinstance(module, NeoCell):
            for weight in (*module.weight_a, *module.weight_b):
                weight.copy_(normal(weight, weight.shape[1 if weight.shape[1] > 1 else 2] ** -0.5))
        elif isinstance(module, LayerScale):
            module.gamma.copy_(uniform(module.gamma, 0.1, 0.6))
        elif isinstance(module, nn.LayerNorm):
            module.weight.copy_(uniform(module.weight, 0.5, 1.5))
            module.bias.copy_(normal(module.bias, 0.2))
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            fan_in = module.weight[0].numel()
            module.weight.copy_(normal(module.weight, fan_in**-0.5))
            if module.bias is not None:
                module.bias.copy_(normal(module.bias, 0.2))
