"""DeiT-S (arXiv 2012.12877): a plain vision transformer of 12 blocks, 6 heads and 384 channels on 16x16 patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neonext_ascend.models.layers import Residual

IMAGE, PATCH, WIDTH, DEPTH, HEADS, CLASSES, EPS = 224, 16, 384, 12, 6, 1000, 1e-6
TOKENS = (IMAGE // PATCH) ** 2 + 1  # the patches and one token for the class


class DeitS(nn.Module):
    """``(N, 3, 224, 224)`` to ``(N, 1000)``."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.class_token = nn.Parameter(0.2 * torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(0.2 * torch.randn(1, TOKENS, WIDTH))
        self.blocks = nn.Sequential(*(_block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH, eps=EPS)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The class token's logits."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


class Attention(nn.Module):
    """Every token looks at every other: ``(N, tokens, C)`` to the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Query, key and value of each head."""
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, WIDTH)
        out: Tensor = self.out(y)
        return out


def _block() -> nn.Sequential:
    perceptron = nn.Sequential(
        nn.LayerNorm(WIDTH, eps=EPS), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
    )
    return nn.Sequential(Residual(nn.Sequential(nn.LayerNorm(WIDTH, eps=EPS), Attention())), Residual(perceptron))
