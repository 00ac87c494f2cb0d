"""ResNet-50 (arXiv 1512.03385) with the stride in the 3x3 convolution, as the libraries have it."""

from __future__ import annotations

from torch import Tensor, nn

from neonext_ascend.models.layers import GlobalAveragePool

DEPTHS, WIDTHS, EXPANSION, CLASSES = (3, 4, 6, 3), (64, 128, 256, 512), 4, 1000


def resnet_50() -> nn.Module:
    """``(N, 3, H, W)`` to ``(N, 1000)``."""
    layers: list[nn.Module] = [*_normed(3, WIDTHS[0], 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    before = WIDTHS[0]
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        for block in range(depth):
            layers.append(Bottleneck(before, width, stride=2 if stage and not block else 1))
            before = width * EXPANSION
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Linear(before, CLASSES))


class Bottleneck(nn.Module):
    """``relu(branch(x) + x)``, the branch being 1x1, 3x3 and 1x1 convolutions; a 1x1 one where x must change shape."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        after = width * EXPANSION
        self.branch = nn.Sequential(
            *_normed(before, width, 1, 1),
            nn.ReLU(),
            *_normed(width, width, 3, stride),
            nn.ReLU(),
            *_normed(width, after, 1, 1),
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_normed(before, after, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, 4 width, H', W')``."""
        y: Tensor = self.relu(self.branch(x) + self.shortcut(x))
        return y


def _normed(before: int, after: int, size: int, stride: int) -> list[nn.Module]:
    """A convolution without bias, and BatchNorm."""
    convolution = nn.Conv2d(before, after, size, stride=stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after)]
