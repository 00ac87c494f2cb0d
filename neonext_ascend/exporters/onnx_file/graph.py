"""An ONNX graph under construction: nodes in order, constants by name, values with unique names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.exporters.onnx_file.stream import Initializer
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.spec import NUMPY_DTYPES, Dtype, GeluForm


@dataclass(slots=True)
class _View:
    """Another shape of the value ``storage``; a node only where something reads it."""

    storage: str
    shape: tuple[int, ...]
    written: bool = False


class OnnxGraph:
    """Collects nodes and initializers for one opset, one floating dtype and one form of GELU."""

    def __init__(self, opset: int, dtype: Dtype, gelu: GeluForm = "erf") -> None:
        self.opset, self.gelu = opset, gelu
        self.dtype: np.dtype[np.generic] = np.dtype(NUMPY_DTYPES[dtype])
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, Initializer] = {}
        self._names: set[str] = set()
        self._scalars: dict[tuple[str, float], str] = {}
        self._views: dict[str, _View] = {}
        self._shapes: dict[tuple[int, ...], str] = {}
        self._values: dict[str, Callable[[np.dtype[np.generic]], NDArray[np.generic]]] = {}
        self._wide: dict[str, str] = {}

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
        inputs = [self.written(name) for name in inputs]
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def reshape(self, x: str, shape: tuple[int, ...], output: str) -> str:
        """Another shape of ``x``, at most one length -1; a Reshape of a Reshape is one, and of one unread none."""
        self._views[output] = _View(self.storage(x), shape)
        return output

    def storage(self, name: str) -> str:
        """The value that holds the elements of ``name`` in the same order: itself, or what it is a reshape of."""
        return self._views[name].storage if name in self._views else name

    def shape_of_view(self, name: str) -> tuple[int, ...] | None:
        """What ``name`` was reshaped to; ``None`` where it was not."""
        return self._views[name].shape if name in self._views else None

    def written(self, name: str) -> str:
        """``name``, with its Reshape appended where it is one that nothing has read yet."""
        view = self._views.get(name)
        if view is not None and not view.written:
            view.written = True
            if view.shape not in self._shapes:
                text = "x".join("batch" if n == -1 else str(n) for n in view.shape)
                self._shapes[view.shape] = self.integers(f"shape.{text}", list(view.shape))
            self.node("Reshape", [view.storage, self._shapes[view.shape]], name)
        return name

    def constant(self, name: str, value: Deferred) -> str:
        """An initializer of the graph's dtype, computed when it is written."""

        def array(dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
            tensor = value.rounded(torch.float16 if dtype == np.float16 else torch.float32)
            if tensor.is_meta:
                raise PassRefusedError(f"{name} is on the meta device, which holds no numbers; load the weights first")
            # What fp16 alone cannot hold is judged node by node, with the chip's way of overflowing.
            if not bool(tensor.isfinite().all()) and not bool(value.value().isfinite().all()):
                raise PassRefusedError(f"{name} holds NaN or infinity; look at the weights that it was made from")
            result: NDArray[np.generic] = tensor.cpu().contiguous().numpy()
            return result

        return self._add(name, value.shape, self.dtype, array)

    def scalar(self, name: str, value: float) -> str:
        """A scalar that all nodes share."""
        if (name, value) not in self._scalars:
            added = self._add(name, (), self.dtype, lambda dtype: np.asarray(value, dtype=dtype))
            self._scalars[name, value] = added
        return self._scalars[name, value]

    def integers(self, name: str, values: list[int]) -> str:
        """An int64 vector."""
        return self._add(name, (len(values),), np.dtype(np.int64), lambda dtype: np.asarray(values, dtype=dtype))

    def in_fp32(self, name: str) -> str:
        """The same constant in fp32, not rounded to fp16 before; itself where it holds no fp16."""
        held = self.initializers[name]
        if held.dtype != np.float16:
            return name
        if name not in self._wide:
            self._wide[name] = self._add(f"{name}.fp32", held.shape, np.dtype(np.float32), self._values[name])
        return self._wide[name]

    def _add(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        value: Callable[[np.dtype[np.generic]], NDArray[np.generic]],
    ) -> str:
        name = self.reserve(name)
        self._values[name] = value
        self.initializers[name] = Initializer(name, shape, dtype, partial(value, dtype))
        return name
