"""What a network's own layers say of a changed constant: the BatchNorm folded into it, the NeoCell it was built from.

A BatchNorm scales each channel by ``s = weight / sqrt(variance + epsilon)``. Where a file's channels are ``f`` times
the network's, another epsilon would be ``(variance + epsilon) / f^2 - variance``, one number for all channels, and
another variance ``(variance + epsilon) / f^2 - epsilon``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.models.neocell import NeoCell


class Layers:
    """A network's modules by the names that their constants have in a file."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._paths = {readable(path): path for path, _ in network.named_modules()}

    def norm_cause(
        self, layer: str, factors: NDArray[Any], first: int = 0, half: bool = False
    ) -> tuple[str, str] | None:
        """Cause and remedy, where the BatchNorm behind a layer explains what its channels were multiplied by.

        Args:
            layer: its name in the file.
            factors: for each channel, or for each row of every channel's matrix; NaN where a row is zero.
            first: of the channels that they are of.
            half: whether they were rounded to fp16.
        """
        norm, path = self._norm_behind(layer)
        if norm is None or norm.running_var is None:
            return None
        variance = norm.running_var.double().numpy()[first:]
        if first or len(factors) < len(variance):
            variance = variance[: len(factors)]
        if len(factors) % len(variance):
            return None
        rows = factors.reshape(len(variance), -1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel of zeros alone: its factor stays unknown
            factors = np.nan_to_num(np.nanmedian(rows, axis=1), nan=1.0)
        same = 1e-3 if half else 1e-6
        if not np.allclose(np.where(np.isnan(rows), factors[:, None], rows), factors[:, None], rtol=10 * same):
            return None
        if not (factors > 0).all():
            return None
        epsilons = (variance + norm.eps) / factors**2 - variance
        # Where the variance is large, epsilon is a small part of the sum, and rounding a large part of epsilon.
        weights = 1 / (variance + norm.eps) ** 2
        epsilon = float((epsilons * weights).sum() / weights.sum())
        if epsilon > 0 and np.allclose(np.sqrt((variance + norm.eps) / (variance + epsilon)), factors, rtol=same):
            about = "about " if half else ""
            return (
                f"BatchNorm {path} was folded with epsilon {about}{epsilon:.3g}; the network's is {norm.eps:g}",
                f"set the epsilon of {path} to {norm.eps:g} in what wrote the file, and export again",
            )
        others = (variance + norm.eps) / factors**2 - norm.eps
        if np.abs(others - 1).max() < 10 * same:
            return (
                f"BatchNorm {path} was folded with a running variance of 1 in every channel, its initial value: a "
                "stale one, never loaded",
                f"load {path}.running_var from the checkpoint before the export (strict=True finds what is missing)",
            )
        if (others <= 0).any():
            return None
        low, high = (others / variance).min(), (others / variance).max()
        return (
            f"BatchNorm {path} was folded with another running variance, {low:.3g} to {high:.3g} of the checkpoint's "
            "(a stale one, of an earlier epoch, say), or with another weight",
            f"export again from the checkpoint, and see that {path}.running_var is loaded",
        )

    def shift_words(self, layer: str, moves: NDArray[Any]) -> str:
        """What moved blocks mean: no shift, the other direction, or another amount."""
        cell = self._module(layer)
        if not isinstance(cell, NeoCell) or cell.geometry.channels != len(moves):
            return "another shift"
        groups = cell.geometry.groups
        shifts = np.concatenate([group.shifts("left") for group in groups])
        period = np.concatenate([np.full(group.channels, group.cell.h_in) for group in groups])
        if (shifts == 0).all():
            return "a shift, where the network has none"
        if not ((moves + shifts) % period).any():
            return "no shift, where the network has one"
        return "a shift in the other direction" if not ((moves + 2 * shifts) % period).any() else "another shift"

    def _module(self, layer: str) -> nn.Module | None:
        return self._network.get_submodule(self._paths[layer]) if layer in self._paths else None

    def _norm_behind(self, layer: str) -> tuple[nn.modules.batchnorm._BatchNorm | None, str]:
        """The first BatchNorm behind a layer, among the layers beside it."""
        path = self._paths.get(layer, "")
        parent, _, name = path.rpartition(".")
        seen = False
        for other, module in self._network.get_submodule(parent).named_children():
            if seen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                return module, f"{parent}.{other}" if parent else other
            seen = seen or other == name
        return None, ""


def tanh_gelu(x: NDArray[Any]) -> NDArray[Any]:
    """GELU's tanh approximation."""
    y: NDArray[Any] = torch.nn.functional.gelu(torch.from_numpy(x), approximate="tanh").numpy()
    return y
