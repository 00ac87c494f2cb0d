"""Propagate shapes through a graph without computing anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.func import functional_call
from torch.fx.node import Argument, Target

from neonext_ascend.errors import GeometryError, PassRefusedError
from neonext_ascend.models.layers import LayerScale
from neonext_ascend.passes import elementwise
from neonext_ascend.passes.deployed import SHAPE
from neonext_ascend.passes.frozen.layers import Frozen
from neonext_ascend.passes.graph import where

# On meta tensors these are right too, but there torch imports its compiler: 1 s and 50 MB.
_KEEP_SHAPE = (*elementwise.MODULES, *elementwise.BATCH_NORMS, LayerScale)


def propagate_shapes(graph: fx.GraphModule, input_shape: tuple[int, ...]) -> None:
    """Write each node's output shape into its ``meta``.

    Args:
        graph: with one input.
        input_shape: of the input, batch included.

    Raises:
        PassRefusedError: the network does not take such an input.
        GeometryError: a map is too small for a NeoCell.
    """
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise PassRefusedError(f"the network has {len(inputs)} inputs; expected one")
    interpreter = _ShapeInterpreter(graph)
    with torch.no_grad():
        try:
            interpreter.run(torch.empty(input_shape, dtype=torch.float32, device="meta"))
        except GeometryError:
            raise
        except Exception as error:
            text = str(error).strip().splitlines()
            raise PassRefusedError(
                f"the network does not take an input of shape {input_shape}: at {interpreter.position}: "
                f"{text[0] if text else type(error).__name__}"
            ) from None


class _ShapeInterpreter(fx.Interpreter):
    """Runs on meta tensors: shapes without values."""

    position = "the input"
    # Our messages say what is wrong; torch would append its own lines to them.
    extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        """Run and note the shape."""
        self.position = where(n)
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta[SHAPE] = tuple(result.shape)
        return result

    def call_module(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
        """Constants, parameters and statistics count by their shape alone."""
        module = self.fetch_attr(str(target))
        if isinstance(module, (Frozen, *_KEEP_SHAPE)):
            (x,) = args
            assert isinstance(x, Tensor)
            shape = module.output_shape(tuple(x.shape)) if isinstance(module, Frozen) else x.shape
            return x.new_empty(shape)
        dtype = next((a.dtype for a in args if isinstance(a, Tensor)), torch.float32)
        state = {
            name: tensor.to("meta", dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in module.state_dict().items()
        }
        return functional_call(module, state, args, kwargs)

    def get_attr(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
        """A parameter or buffer used directly."""
        value = super().get_attr(target, args, kwargs)
        return value.to("meta") if isinstance(value, Tensor) else value

    def call_function(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
        """Elementwise functions broadcast."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        if tensors and target in elementwise.UNARY | elementwise.BINARY:
            return tensors[0].new_empty(np.broadcast_shapes(*(t.shape for t in tensors)))
        if tensors and target is torch.mean:
            return _mean(*args, **kwargs)
        return super().call_function(target, args, kwargs)

    def call_method(self, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Any]) -> Any:
        """Methods of a tensor."""
        return _mean(*args, **kwargs) if target == "mean" else super().call_method(target, args, kwargs)


def _mean(x: Any, dim: Any = None, keepdim: Any = False, axis: Any = None) -> Tensor:
    """An empty tensor of a mean's shape."""
    dim = axis if dim is None else dim
    axes = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {int(axis) % x.ndim for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(x.shape) if keepdim or i not in gone]
    empty: Tensor = x.new_empty(shape)
    return empty
