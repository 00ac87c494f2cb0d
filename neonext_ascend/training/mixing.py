"""Mixup and CutMix on a batch, and the targets that belong to it.

Ours, as neither library draws as the recipe does: kornia's mixup takes its share from a uniform distribution, and
torchvision's two have no coin between them. Zhang et al. 2018 and Yun et al. 2019; the coin is that of timm, with
which the recipe came about.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from neonext_ascend.training.recipe import Recipe


def soft_targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Classes ``(N)`` to ``(N, classes)``: ``1 - smoothing`` there, and ``smoothing / classes`` everywhere."""
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def mixed(x: Tensor, targets: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch mixed with itself in reverse order.

    Args:
        x: pictures ``(N, 3, H, W)``.
        targets: ``(N, classes)``.
        recipe: its ``mixup`` and ``cutmix`` are the alphas of the Beta distributions.
        generator: on the CPU, what is drawn from.
    """
    cut = recipe.cutmix > 0 and (recipe.mixup == 0 or bool(torch.rand((), generator=generator) < 0.5))
    alpha = recipe.cutmix if cut else recipe.mixup
    if alpha == 0:
        return x, targets
    share = beta(alpha, generator)
    if cut:
        top, bottom, left, right = box(share, x.shape[-2], x.shape[-1], generator)
        mixture = x.clone()
        mixture[..., top:bottom, left:right] = x.flip(0)[..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (x.shape[-2] * x.shape[-1])
    else:
        mixture = x * share + x.flip(0) * (1 - share)
    return mixture, targets * share + targets.flip(0) * (1 - share)


def beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from ``Beta(alpha, alpha)``: the share of one of two gamma draws in their sum."""
    shape = torch.tensor([alpha, alpha], dtype=torch.float64)
    one, other = torch._standard_gamma(shape, generator=generator).tolist()
    return 0.5 if one + other == 0 else float(one / (one + other))


def box(share: float, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """CutMix's rectangle, top, bottom, left and right: ``sqrt(1 - share)`` of each side, cut at the edges."""
    ratio = math.sqrt(1 - share)
    cut_h, cut_w = int(height * ratio), int(width * ratio)
    y, x = (int(torch.randint(side, (), generator=generator)) for side in (height, width))
    return (
        max(y - cut_h // 2, 0),
        min(y + cut_h // 2, height),
        max(x - cut_w // 2, 0),
        min(x + cut_w // 2, width),
    )
