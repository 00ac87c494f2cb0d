"""A PyTorch network on the CPU: the reference that artifacts are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.spec import TensorSpec


class EagerRunner(Runner):
    """A module in evaluation mode.

    Args:
        network: with one input and one output.
        inputs, outputs: their specifications, one each; the dtype is the network's.
        points: output name -> module path, given out beside the network's own output.
    """

    def __init__(
        self,
        network: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        points: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"torch {torch.__version__} {type(network).__name__}"
        self.where = f"PyTorch {torch.__version__} on the CPU"
        self.inputs = inputs
        self.points = dict(points or {})
        self.outputs = (*outputs, *(TensorSpec(name, inputs[0].dtype, ("?",)) for name in self.points))
        self._network, self._result = network, outputs[0].name

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One forward pass without gradients."""
        kept: dict[str, NDArray[np.generic]] = {}
        handles = []
        for name, path in self.points.items():

            def keep(_module: nn.Module, _args: object, output: Tensor, name: str = name) -> None:
                kept[name] = output.detach().numpy()

            handles.append(self._network.get_submodule(path).register_forward_hook(keep))
        try:
            with torch.inference_mode():
                output = self._network(torch.from_numpy(feeds[self.inputs[0].name]))
        finally:
            for handle in handles:
                handle.remove()
        return {self._result: output.numpy(), **kept}
