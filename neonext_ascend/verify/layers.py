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
from neonext_ascend.verify.nodewise.pair import AGAIN

_Norm = tuple[nn.modules.batchnorm._BatchNorm, str]  # and its path


class Layers:
    """A network's modules by the names that their constants have in a file."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._paths = {readable(path): path for path, _ in network.named_modules()}

    def norm_cause(
        self, layer: str, factors: NDArray[Any], first: int = 0, half: bool = False, certain: bool = False
    ) -> tuple[str, str] | None:
        """Cause and remedy, where the BatchNorm behind a layer explains what its channels were multiplied by.

        Args:
            layer: its name in the file.
            factors: for each channel, or for each row of every channel's matrix; NaN where a row is zero.
            first: of the channels that they are of.
            half: whether they were rounded to fp16.
            certain: whether to leave out what explains any factors.
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
        if certain or (others <= 0).any():
            return None
        low, high = (others / variance).min(), (others / variance).max()
        return (
            f"BatchNorm {path} was folded with another running variance, {low:.3g} to {high:.3g} of the checkpoint's "
            "(a stale one, of an earlier epoch, say), or with another weight",
            f"export again from the checkpoint, and see that {path}.running_var is loaded",
        )

    def shift_cause(self, layer: str, change: NDArray[Any], half: bool = False) -> tuple[str, str] | None:
        """Cause and remedy, where the BatchNorm beside a layer explains what was added to its bias.

        ``t = bias - mean weight / sqrt(variance + epsilon)`` of a norm behind the layer is added; of one before it, the
        layer's own weights times ``t``.

        Args:
            layer: its name in the file.
            change: of the bias, ``(C,)``.
            half: whether it was rounded to fp16.
        """
        module, (norm, path) = self._module(layer), self._norm_behind(layer)
        bound = (2e-2 if half else 1e-3) * np.abs(change).max()
        own = module.bias if isinstance(module, nn.Linear | nn.Conv2d) else None
        if norm is None and own is not None and np.abs(change + own.detach().numpy()).max() <= bound:
            return f"its own bias is 0, {self._paths[layer]}.bias is not", f"load it, and {AGAIN}"
        if norm is None:
            norm, path = self._norm_before(layer)
            if norm is None or not isinstance(module, nn.Linear) or module.in_features != norm.num_features:
                return None
            weight = module.weight.detach().double().numpy()
            moved: NDArray[np.float64] = np.linalg.lstsq(weight, change.astype(np.float64), rcond=None)[0]
            left = np.abs(weight @ moved - change).max()
        else:
            moved, left = change.astype(np.float64), 0.0
        if norm.running_mean is None or norm.running_var is None or moved.shape != norm.running_mean.shape:
            return None
        if left > bound:
            return None
        mean = norm.running_mean.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
        mean = mean * norm.weight.detach().double() if norm.affine else mean
        bias = norm.bias.detach().double() if norm.affine else torch.zeros_like(mean)
        initial = {"running mean": mean, "bias": -bias, "running mean and bias": mean - bias}
        for name, wanted in initial.items():
            expected = wanted.numpy()
            if np.abs(moved - expected).max() <= (5e-2 if half else 1e-3) * np.abs(expected).max(initial=0.0):
                return (
                    f"BatchNorm {path} was folded with a {name} of 0 in every channel, the initial value: never loaded",
                    f"load {path} from the checkpoint before the export (strict=True finds what is missing)",
                )
        return (
            f"BatchNorm {path} was folded with another running mean (a stale one, of an earlier epoch, say), or with "
            "another bias",
            f"export again from the checkpoint, and see that {path}.running_mean is loaded",
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
        return next(iter(self._norms(layer)[1]), (None, ""))

    def _norm_before(self, layer: str) -> tuple[nn.modules.batchnorm._BatchNorm | None, str]:
        """The last BatchNorm before a layer, among the layers beside it."""
        return next(reversed(self._norms(layer)[0]), (None, ""))

    def _norms(self, layer: str) -> tuple[list[_Norm], list[_Norm]]:
        """The BatchNorms before and behind a layer, among the layers beside it."""
        parent, _, name = self._paths.get(layer, "").rpartition(".")
        sides: tuple[list[_Norm], list[_Norm]] = ([], [])
        seen = False
        for other, module in self._network.get_submodule(parent).named_children():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                sides[seen].append((module, f"{parent}.{other}" if parent else other))
            seen = seen or other == name
        return sides
