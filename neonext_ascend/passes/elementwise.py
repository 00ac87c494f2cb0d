"""Which layers and functions work on each element by itself, in evaluation."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

MODULES: tuple[type[nn.Module], ...] = (nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh, nn.Sigmoid)
# SyncBatchNorm is a BatchNorm2d but for training.
BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, nn.SyncBatchNorm)
UNARY: frozenset[Any] = frozenset({F.gelu, F.relu, F.silu, torch.relu, torch.tanh, torch.sigmoid})
BINARY: frozenset[Any] = frozenset({operator.add, torch.add, operator.mul, torch.mul, operator.sub, torch.sub})
