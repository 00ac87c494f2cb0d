"""PyTorch's own exporter, as quiet as it can be."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 18  # its oldest


def export_with_torch(network: nn.Module, example: Tensor, path: Path) -> None:
    """``torch.onnx.export(dynamo=True)`` for inputs of exactly the example's shape."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), path, dynamo=True, opset_version=OPSET, verbose=False)
