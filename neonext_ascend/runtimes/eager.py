"""A PyTorch network on the CPU: the reference that artifacts are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neonext_ascend.models.layers import tensors_in
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.spec import Layout, TensorSpec


class EagerRunner(Runner):
    """A module in evaluation mode.

    Args:
        network: with one input.
        inputs, outputs: their specifications; the dtype is the network's.
        points: output name -> module path, given out beside the network's own outputs.
        layout: in whose order a map's elements are given out as a point, ``(N, C, H, W)``, or for ``chnw`` as one axis.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        points: Mapping[str, str] | None = None,
        layout: Layout = "nchw",
    ) -> None:
        self.name = f"torch {torch.__version__} {type(network).__name__}"
        self.where = f"PyTorch {torch.__version__} on the CPU"
        self.inputs = inputs
        self.points = dict(points or {})
        self.outputs = (*outputs, *(TensorSpec(name, inputs[0].dtype, ("?",)) for name in self.points))
        self._network, self._results, self._layout = network, [spec.name for spec in outputs], layout

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One forward pass without gradients."""
        kept: dict[str, NDArray[np.generic]] = {}
        handles = []
        for name, path in self.points.items():

            def keep(_module: nn.Module, _args: object, output: Tensor, name: str = name) -> None:
                kept[name] = self._in_layout(output.detach()).numpy()

            handles.append(self._network.get_submodule(path).register_forward_hook(keep))
        try:
            with torch.inference_mode():
                given = tensors_in(self._network(torch.from_numpy(feeds[self.inputs[0].name])))
        finally:
            for handle in handles:
                handle.remove()
        return {**{name: one.numpy() for name, one in zip(self._results, given, strict=True)}, **kept}

    def _in_layout(self, output: Tensor) -> Tensor:
        if self._layout == "nchw" or output.ndim != 4:
            return output
        return output.permute(1, 2, 0, 3).reshape(-1)
