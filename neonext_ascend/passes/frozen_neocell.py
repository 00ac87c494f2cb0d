"""NeoCell as constants: in cell form until the map's size is known, then as block-diagonal matrices."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neonext_ascend.errors import PassRefusedError
from neonext_ascend.kernels.blockdiag import block_diagonal, neocell_blockdiag, tiled_bias
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.passes.deferred import Deferred
from neonext_ascend.passes.frozen import Frozen, expect_axis


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
        expect_axis(shape, 4, 1, self.geometry.channels)
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
        expect_axis(shape, 4, 1, channels)
        if shape[2:] != (height, width):
            raise PassRefusedError(f"got a {shape[2]}x{shape[3]} map; this NeoCell was lowered for {height}x{width}")
        return (shape[0], channels, h_out, w_out)

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``."""
        return neocell_blockdiag(x, constants["left"], constants["right"], constants.get("bias"))
