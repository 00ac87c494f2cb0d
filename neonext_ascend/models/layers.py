"""The small layers of NeoNeXt that torch.nn does not have, and what a network returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LayerScale(nn.Module):
    """``gamma * x`` with one factor a channel, channels last.

    Args:
        channels: length of ``gamma``.
        initial: its initial value.
    """

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to ``(..., C)``."""
        return self.gamma * x


class DropPath(nn.Module):
    """Stochastic depth: in training, drops a whole sample's branch with this probability and rescales the rest."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """``(N, ...)`` to ``(N, ...)``; the identity in evaluation."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        # 0 or 1 / keep for each sample: the rescaling costs no pass over x.
        factor = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep).div_(keep)
        return x * factor

    def extra_repr(self) -> str:
        """The probability."""
        return f"probability={self.probability:g}"


class Permute(nn.Module):
    """``x.permute(dims)``."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """Reorders the axes."""
        return x.permute(self.dims)


class Residual(nn.Module):
    """``x + drop_path(content(x))``.

    Args:
        content: the branch.
        drop_path: probability of dropping it in training.
    """

    def __init__(self, content: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.content = content
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        branch: Tensor = self.drop_path(self.content(x))
        return branch + x


class GlobalAveragePool(nn.Module):
    """Mean over height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C)``."""
        return x.mean((-2, -1))


def tensors_in(returned: Any) -> list[Tensor]:
    """What a network returns: one tensor, or those of a list, tuple or dict."""
    if isinstance(returned, Tensor):
        return [returned]
    return list(returned.values() if isinstance(returned, dict) else returned)
