"""LayerNorm in the place of BatchNorm: only to compare them; it does not fold, so no network of ours has it."""

from __future__ import annotations

from torch import Tensor, nn

_EPS = 1e-6  # ConvNeXt's


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel, ``(N, C, H, W)`` to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Mean 0 and variance 1 over C, then a factor and an offset a channel."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def replace_batch_norms(net: nn.Module) -> int:
    """Put a :class:`ChannelNorm` where each BatchNorm stands, in place; how many there were."""
    found = [(parent, name, child) for parent in net.modules() for name, child in parent.named_children()]
    norms = [(parent, name, child) for parent, name, child in found if isinstance(child, nn.BatchNorm2d)]
    for parent, name, norm in norms:
        setattr(parent, name, ChannelNorm(norm.num_features, eps=_EPS))
    return len(norms)
