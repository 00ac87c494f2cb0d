"""Fold a module of your own: NeoCell, BatchNorm and linear layers, in any arrangement.

python examples/fold_your_own_module.py
"""

import torch
from torch import nn

from neonext_ascend import passes
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.layers import Permute, Residual
from neonext_ascend.models.neocell import NeoCell

cell = NeoCell(Geometry.split(channels=12, sizes=(4, 7), shift=True))
mixer = nn.Sequential(Permute(0, 2, 3, 1), nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 12), Permute(0, 3, 1, 2))
net = nn.Sequential(Residual(nn.Sequential(cell, nn.BatchNorm2d(12), mixer)), nn.BatchNorm2d(12))
net(torch.randn(8, 12, 28, 28))  # in training mode: gives BatchNorm its statistics

folded, report = passes.prepare(net.eval(), input_shape=(1, 12, 28, 28))
print(report)
x = torch.randn(1, 12, 28, 28)
print(f"largest difference {(folded(x) - net(x)).abs().max():.1e}, largest output {net(x).abs().max():.2f}")
