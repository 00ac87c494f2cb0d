"""Layers of constants: what a network is made of between tracing and export.

Each holds its tensors as :class:`Deferred` until :meth:`Frozen.materialize` turns them into buffers; from then on the
buffers alone say what the layer computes with, whatever is done to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.passes.frozen.deferred import Deferred


class Frozen(nn.Module, ABC):
    """Base: named constants and a computation on them; never trains.

    Args:
        constants: by name; ``None`` entries are left out.
    """

    def __init__(self, constants: Mapping[str, Deferred | None]) -> None:
        super().__init__()
        self._deferred = {name: value for name, value in constants.items() if value is not None}
        self._names = tuple(self._deferred)
        self.eval()

    @abstractmethod
    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """The layer's output for input ``x`` and the constants by name."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the output for an input of ``shape``; here the same.

        Raises:
            PassRefusedError: the layer does not take such an input.
        """
        return shape

    @property
    def constants(self) -> Mapping[str, Deferred]:
        """The constants by name, as they are now.

        Raises:
            PassRefusedError: what was put in a buffer's place is none.
        """
        return self._deferred or {name: _buffer(name, held) for name, held in self._held().items()}

    def optional(self, name: str) -> Deferred | None:
        """A constant that may be absent."""
        return self.constants.get(name)

    def materialize(self, dtype: torch.dtype = torch.float32) -> None:
        """Compute every constant and keep it as a buffer of ``dtype``; the deferred forms are dropped."""
        for name, deferred in self._deferred.items():
            # A copy: the new network must not change when the original trains on.
            self.register_buffer(name, deferred.rounded(dtype).clone())
        self._deferred = {}

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; an unmaterialised layer computes its constants at every call."""
        computed = {name: value.rounded(x.dtype).to(x.device) for name, value in self._deferred.items()}
        return self.compute(x, computed or self._held())

    def _needed(self, name: str, rank: int) -> tuple[int, ...]:
        """Shape of a constant that the layer cannot be without."""
        held = self.optional(name)
        if held is None or len(held.shape) != rank:
            found = "missing" if held is None else f"of shape {held.shape}"
            raise PassRefusedError(f"its {name} is {found}; expected one of {rank} axes")
        return held.shape

    def _expect_bias(self, outputs: int) -> None:
        bias = self.optional("bias")
        if bias is not None and bias.shape != (outputs,):
            raise PassRefusedError(f"its bias is {bias.shape}, its weight gives {outputs} outputs")

    def _held(self) -> dict[str, Tensor]:
        """The constants of a materialised layer; its attributes, so that what replaces a buffer counts."""
        held = [(name, getattr(self, name, None)) for name in self._names]  # := here would break torch.compile's graph
        return {name: tensor for name, tensor in held if tensor is not None}

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which stand by themselves: a layer's constants are computed for them."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        if not self._deferred:
            return state
        twin = type(self).__new__(type(self))
        twin.__dict__ = {**state, "_buffers": {**self._buffers}}
        twin.materialize()
        return twin.__dict__

    def extra_repr(self) -> str:
        """Names and shapes of the constants."""
        return ", ".join(f"{name}{list(value.shape)}" for name, value in self.constants.items())


class FrozenConv2d(Frozen):
    """``conv2d``: ``weight (O, I / groups, kh, kw)``, ``bias (O,)`` or none.

    ``whole`` refuses a map that the stride does not divide, as space-to-depth does; ``zeros`` are rows below and
    columns on the right of the map, taken as zeros.
    """

    def __init__(
        self,
        weight: Deferred,
        bias: Deferred | None,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
        whole: bool = False,
        zeros: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__({"weight": weight, "bias": bias})
        self.stride, self.groups, self.whole, self.zeros = stride, groups, whole, zeros

    @property
    def is_pointwise(self) -> bool:
        """Whether each output pixel is one matrix times one input pixel."""
        return self.constants["weight"].shape[2:] == (1, 1) and self.stride == (1, 1) and self.groups == 1

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(N, O, H', W')``."""
        outputs, inputs, *kernel = self._needed("weight", 4)
        expect_axis(shape, 4, 1, inputs * self.groups)
        self._expect_bias(outputs)
        sizes = [
            (n + more - k) // s + 1 for n, more, k, s in zip(shape[2:], self.zeros, kernel, self.stride, strict=True)
        ]
        if self.whole and any(n % s for n, s in zip(shape[2:], self.stride, strict=True)):
            raise PassRefusedError(
                f"a {shape[2]}x{shape[3]} map is not a multiple of {self.stride[0]}x{self.stride[1]}"
            )
        if min(sizes) < 1:
            raise PassRefusedError(f"a {shape[2]}x{shape[3]} map is smaller than a {kernel[0]}x{kernel[1]} kernel")
        return (shape[0], outputs, *sizes)

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H', W')``."""
        if any(self.zeros):
            below, right = self.zeros
            x = F.pad(x, (0, right, 0, below))
        return F.conv2d(x, constants["weight"], constants.get("bias"), stride=self.stride, groups=self.groups)


class FrozenLinear(Frozen):
    """``x @ weight.T + bias`` on the last axis: ``weight (O, I)``, ``bias (O,)`` or none."""

    def __init__(self, weight: Deferred, bias: Deferred | None) -> None:
        super().__init__({"weight": weight, "bias": bias})

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(..., O)``."""
        outputs, inputs = self._needed("weight", 2)
        expect_axis(shape, len(shape), -1, inputs)
        self._expect_bias(outputs)
        return (*shape[:-1], outputs)

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(..., I)`` to ``(..., O)``."""
        return F.linear(x, constants["weight"], constants.get("bias"))


class FrozenLayerNorm(Frozen):
    """LayerNorm over the last axis of length ``size``, with ``weight`` and ``bias`` or without."""

    def __init__(self, size: int, eps: float, weight: Deferred | None, bias: Deferred | None) -> None:
        super().__init__({"weight": weight, "bias": bias})
        self.size, self.eps = size, eps

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same shape."""
        expect_axis(shape, len(shape), -1, self.size)
        for name, held in self.constants.items():
            if held.shape != (self.size,):
                raise PassRefusedError(f"its {name} is {held.shape}, its input has {self.size} elements")
        return shape

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(..., size)`` to the same shape."""
        return F.layer_norm(x, (self.size,), constants.get("weight"), constants.get("bias"), self.eps)


def _buffer(name: str, held: object) -> Deferred:
    if not isinstance(held, Tensor) or not held.is_floating_point():
        what = held.dtype if isinstance(held, Tensor) else type(held).__name__
        raise PassRefusedError(f"its {name} is {what}; expected floating-point numbers")
    return Deferred.of(held)


def expect_axis(shape: tuple[int, ...], rank: int, axis: int, length: int) -> None:
    """Refuse a shape of another rank, or of another length on ``axis``."""
    if len(shape) != rank or shape[axis] != length:
        raise PassRefusedError(f"got shape {shape}; expected {length} elements on axis {axis} of {rank}")
