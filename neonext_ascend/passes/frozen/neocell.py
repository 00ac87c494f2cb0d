"""NeoCell as constants: in cell form until the map's size is known, then as a program with constant matrices."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neonext_ascend.kernels.blockdiag import tiled_bias
from neonext_ascend.kernels.functional import build
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import lower
from neonext_ascend.kernels.operands import sizes
from neonext_ascend.kernels.program import Add, Crop, Matrix
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.layers import Frozen, expect_axis
from neonext_ascend.passes.frozen.program import FrozenProgram
from neonext_ascend.spec import Layout, LoweringName


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

    def lowered(
        self, height: int, width: int, layout: Layout = "nchw", lowering: LoweringName = "blockdiag"
    ) -> FrozenProgram:
        """The NeoCell as a program for a map of ``height x width`` pixels.

        Raises:
            GeometryError: the map is too small, or the lowering does not take this NeoCell.
        """
        geometry, left, right = self.geometry, self.group("left"), self.group("right")
        lowered = lower(lowering, geometry, height, width, layout)

        def constant(matrix: Matrix) -> Deferred:
            # Cells that a matrix does not use are not computed for it.
            return Deferred(
                matrix.shape,
                lambda: build(
                    matrix,
                    [cell.compute() for cell in left] if matrix.left else [],
                    [cell.compute() for cell in right] if matrix.right else [],
                ),
            )

        constants: dict[str, Deferred | None] = {name: constant(matrix) for name, matrix in lowered.matrices.items()}
        bias = self._full_bias(height, width, layout)
        # A padded map may keep its padding if what is added is the same for every pixel; a Crop then stands last.
        steps, loose = lowered.steps, lowering == "padded" and not self.group("bias")
        if bias is not None:
            end = len(steps) - (loose and isinstance(steps[-1], Crop))
            steps = (*steps[:end], Add("bias"), *steps[end:])
        channels = geometry.channels
        expects = (None, channels, height, width) if layout == "nchw" else (channels, height, None, width)
        return FrozenProgram(f"NeoCell ({lowering})", steps, {**constants, "bias": bias}, expects, loose)

    def _full_bias(self, height: int, width: int, layout: Layout) -> Deferred | None:
        """Bias and shift, broadcasting to the output's maps; ``None`` where there is neither."""
        geometry, bias, shift = self.geometry, self.group("bias"), self.optional("shift")
        h_out, w_out = geometry.output_size(height, width)

        def spread() -> Tensor:
            full = tiled_bias([b.compute() for b in bias], geometry, height, width)
            return full if shift is None else full + shift.compute().view(-1, 1, 1)

        full: Deferred | None = None
        if bias:
            full = Deferred((geometry.channels, h_out, w_out), spread)
        elif shift is not None:
            full = shift.reshaped(geometry.channels, 1, 1)
        if full is None or layout == "nchw":
            return full
        channels, rows, columns = full.shape
        return full.reshaped(channels, rows, 1, columns)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """``(N, C, H', W')``."""
        expect_axis(shape, 4, 1, self.geometry.channels)
        return (*shape[:2], *self.geometry.output_size(shape[2], shape[3]))

    def compute(self, x: Tensor, constants: Mapping[str, Tensor]) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H', W')``, through the block-diagonal form."""
        *_, height, width = sizes(x)
        y: Tensor = self.lowered(height, width)(x)
        return y
