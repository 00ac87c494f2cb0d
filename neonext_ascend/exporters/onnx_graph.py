"""An ONNX graph under construction: nodes in order, constants by name, values with unique names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper

from neonext_ascend.exporters.stream import Initializer
from neonext_ascend.passes.deferred import Deferred
from neonext_ascend.spec import NUMPY_DTYPES, Dtype


class OnnxGraph:
    """Collects nodes and initializers for one opset and one floating dtype."""

    def __init__(self, opset: int, dtype: Dtype) -> None:
        self.opset = opset
        self.dtype: np.dtype[np.generic] = np.dtype(NUMPY_DTYPES[dtype])
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, Initializer] = {}
        self._names: set[str] = set()
        self._scalars: dict[tuple[str, float], str] = {}

    def reserve(self, name: str) -> str:
        """A value name that is not taken yet, ``name`` itself where possible."""
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}.{count}"
        self._names.add(unique)
        return unique

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node of one output; it bears its output's name, which is returned."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Deferred) -> str:
        """An initializer of the graph's dtype, computed when it is written."""

        def array() -> NDArray[np.generic]:
            dtype = torch.float16 if self.dtype == np.float16 else torch.float32
            result: NDArray[np.generic] = value.rounded(dtype).cpu().contiguous().numpy()
            return result

        return self._add(name, value.shape, self.dtype, array)

    def scalar(self, name: str, value: float) -> str:
        """A scalar that all nodes share."""
        if (name, value) not in self._scalars:
            added = self._add(name, (), self.dtype, lambda: np.asarray(value, dtype=self.dtype))
            self._scalars[name, value] = added
        return self._scalars[name, value]

    def integers(self, name: str, values: list[int]) -> str:
        """An int64 vector."""
        return self._add(name, (len(values),), np.dtype(np.int64), lambda: np.asarray(values, dtype=np.int64))

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        value: Callable[[], NDArray[np.generic]],
    ) -> str:
        name = self.reserve(name)
        self.initializers[name] = Initializer(name, shape, dtype, value)
        return name
