"""Layers of constants: what a network is made of between tracing and export.

Each holds its tensors as :class:`Deferred` until :meth:`Frozen.materialize` turns them into buffers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag, tiled_bias
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.passes.deferred import Deferred


class Frozen(nn.Module, ABC):
    """Base: named constants and a computation on them; never trains.

    Args:
        constants: by name; ``None`` entries are left out.
    """

    def __init__(self, constants: Mapping[str, Deferred | None]) -> None:
        super().__init__()
        self._deferred = {name: value for name, value in constants.items() if value is not None}
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
        """The constants by name."""
        return self._deferred

    def optional(self, name: str) -> Deferred | None:
        """A constant that may be absent."""
        return self.constants.get(name)

    def materialize(self, dtype: torch.dtype = torch.float32) -> None:
        """Compute every constant and keep it as a buffer of ``dtype``; the deferred forms are dropped."""
        for name, deferred in list(self._deferred.items()):
            buffer = deferred.value().to(dtype)
            self.register_buffer(name, buffer)
            self._deferred[name] = Deferred.of(buffer)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; an unmaterialised layer computes its constants at every call."""
        values = {
            name: getattr(self, name) if name in self._buffers else deferred.value().to(x.dtype)
            for name, deferred in self._deferred.items()
        }
        return self.compute(x, values)

    def extra_repr(self) -> str:
        """Names and shapes of the constants."""
        return ", ".join(f"{name}{list(value.shape)}" for name, value in self._deferred.items())


class FrozenConv2d(Frozen):
    """``conv2d`` without padding: ``weight (O, I / groups, kh, kw)``, ``bias (O,)`` or none."""

    def __init__(
        self, weight: Deferred, bias: Deferred | None, stride: tuple[int, int] = (1, 1), groups: int = 1
    ) -> None:
        super().__init__({"weight": weight, "bias": bias})
        self.stride, self.groups = stride, groups

    @property
    def is_pointwise(self) -> bool:
        """Whether each output pixel is one matrix times one input pixel."""
        return self.constants["weight"].shape[2:] == (1, 1) and self.stride == (1, 1) and self.groups == 1

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(N, O, H', W')``."""
        outputs, inputs, *kernel = self.constants["weight"].shape
        _expect(shape, 4, 1, inputs * self.groups)
        sizes = [(n - k) // s + 1 for n, k, s in zip(shape[2:], kernel, self.stride, strict=True)]
        if min(sizes) < 1:
            raise PassRefusedError(f"a {shape[2]}x{shape[3]} map is smaller than a {kernel[0]}x{kernel[1]} kernel")
        return (shape[0], outputs, *sizes)

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, I, H, W)`` to ``(N, O, H', W')``."""
        return F.conv2d(x, constants["weight"], constants.get("bias"), stride=self.stride, groups=self.groups)


class FrozenLinear(Frozen):
    """``x @ weight.T + bias`` on the last axis: ``weight (O, I)``, ``bias (O,)`` or none."""

    def __init__(self, weight: Deferred, bias: Deferred | None) -> None:
        super().__init__({"weight": weight, "bias": bias})

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(..., O)``."""
        outputs, inputs = self.constants["weight"].shape
        _expect(shape, len(shape), -1, inputs)
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
        _expect(shape, len(shape), -1, self.size)
        return shape

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(..., size)`` to the same shape."""
        return F.layer_norm(x, (self.size,), constants.get("weight"), constants.get("bias"), self.eps)


class FrozenNeoCell(Frozen):
    """NeoCell in cell form, before a lowering is chosen.

    Args:
        geometry: the channel groups.
        left, right: for each group ``L (C_g, h', h)`` and ``R (C_g, w, w')``.
        bias: for each group ``(C_g, h', w')``, or ``None``.
        shift: ``(C,)`` added to every pixel of a channel behind the products, or ``None``.
    """

    def __init__(
        self,
        geometry: Geometry,
        left: list[Deferred],
        right: list[Deferred],
        bias: list[Deferred] | None,
        shift: Deferred | None,
    ) -> None:
        cells = {f"left_{g}": value for g, value in enumerate(left)}
        cells |= {f"right_{g}": value for g, value in enumerate(right)}
        cells |= {f"bias_{g}": value for g, value in enumerate(bias or [])}
        super().__init__({**cells, "shift": shift})
        self.geometry = geometry

    def group(self, kind: str) -> list[Deferred]:
        """The constants ``left``, ``right`` or ``bias`` of all groups, in order; empty where there are none."""
        names = (f"{kind}_{g}" for g in range(len(self.geometry.groups)))
        return [self.constants[name] for name in names if name in self.constants]

    def replaced(self, *, scale: Deferred | None = None, shift: Deferred | None = None) -> FrozenNeoCell:
        """``scale * self + shift`` without its former shift: L and the bias take the scale ``(C,)``."""
        left, bias = self.group("left"), self.group("bias")
        if scale is not None:
            parts = self._split(scale)
            left = [cell.scaled(part) for cell, part in zip(left, parts, strict=True)]
            bias = [cell.scaled(part) for cell, part in zip(bias, parts, strict=True)] if bias else bias
        return FrozenNeoCell(self.geometry, left, self.group("right"), bias or None, shift)

    def _split(self, vector: Deferred) -> list[Deferred]:
        parts, first = [], 0
        for group in self.geometry.groups:
            window = slice(first, first + group.channels)
            parts.append(Deferred((group.channels,), lambda window=window: vector.compute()[window]))  # type: ignore[misc]
            first += group.channels
        return parts

    def lowered(self, height: int, width: int) -> BlockDiagonal:
        """The block-diagonal form for a map of ``height x width`` pixels."""
        return BlockDiagonal.from_cells(self, height, width)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(N, C, H', W')``."""
        _expect(shape, 4, 1, self.geometry.channels)
        return (*shape[:2], *self.geometry.output_size(shape[2], shape[3]))

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``, through the block-diagonal form."""
        y: Tensor = self.lowered(*x.shape[-2:])(x)
        return y


class BlockDiagonal(Frozen):
    """``A X B + bias``: ``left (C, H', H)``, ``right (C, W, W')``, ``bias`` broadcasting to ``(C, H', W')``."""

    def __init__(self, left: Deferred, right: Deferred, bias: Deferred | None) -> None:
        super().__init__({"left": left, "right": right, "bias": bias})

    @classmethod
    def from_cells(cls, cell: FrozenNeoCell, height: int, width: int) -> BlockDiagonal:
        """Spread the cells along the diagonals; see :func:`neonext_ascend.kernels.blockdiag.block_diagonal`.

        Raises:
            GeometryError: the map is too small for a cell or its shift.
        """
        geometry, left, right = cell.geometry, cell.group("left"), cell.group("right")
        bias, shift = cell.group("bias"), cell.optional("shift")
        h_out, w_out = geometry.output_size(height, width)

        def spread_bias() -> Tensor:
            full = tiled_bias([b.compute() for b in bias], geometry, height, width)
            return full if shift is None else full + shift.compute().view(-1, 1, 1)

        spread: Deferred | None = None
        if bias:
            spread = Deferred((geometry.channels, h_out, w_out), spread_bias)
        elif shift is not None:
            spread = shift.reshaped(geometry.channels, 1, 1)
        return cls(
            Deferred(
                geometry.matrix_shape("left", height, width),
                lambda: block_diagonal([c.compute() for c in left], geometry, "left", height, width),
            ),
            Deferred(
                geometry.matrix_shape("right", height, width),
                lambda: block_diagonal([c.compute() for c in right], geometry, "right", height, width),
            ),
            spread,
        )

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(N, C, H', W')``."""
        (channels, h_out, height), (_, width, w_out) = (
            self.constants["left"].shape,
            self.constants["right"].shape,
        )
        _expect(shape, 4, 1, channels)
        if shape[2:] != (height, width):
            raise PassRefusedError(f"got a {shape[2]}x{shape[3]} map; this NeoCell was lowered for {height}x{width}")
        return (shape[0], channels, h_out, w_out)

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``."""
        return neocell_blockdiag(x, constants["left"], constants["right"], constants.get("bias"))


def _expect(shape: tuple[int, ...], rank: int, axis: int, length: int) -> None:
    if len(shape) != rank or shape[axis] != length:
        raise PassRefusedError(f"got shape {shape}; expected {length} elements on axis {axis} of {rank}")
