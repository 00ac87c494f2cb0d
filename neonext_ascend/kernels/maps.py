"""How the axes of a map lie in a layout, and the reshapes that make matrices of it without moving an element."""

from __future__ import annotations

from dataclasses import dataclass

from neonext_ascend.kernels.program import Crop, Pad, Reshape
from neonext_ascend.spec import Layout


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps of ``channels`` channels, ``(N, C, H, W)`` or ``[C, H, N, W]``; sizes in pixels."""

    channels: int
    layout: Layout

    @property
    def axes(self) -> tuple[int, int, int]:
        """Of channels, height and width."""
        return (1, 2, 3) if self.layout == "nchw" else (0, 1, 3)

    def rows(self, *rows: int) -> Reshape:
        """For a left product: ``(N, C, .., H, W)``, or ``(C, .., H, N W)``; ``rows`` ends with the width."""
        if self.layout == "nchw":
            return Reshape((-1, self.channels, *rows))
        return Reshape((self.channels, *rows[:-1], -1))

    def columns(self, height: int, width: int) -> Reshape:
        """For a right product: ``(N, C, H, W)``, or ``(C, H N, W)``."""
        if self.layout == "nchw":
            return Reshape((-1, self.channels, height, width))
        return Reshape((self.channels, -1, width))

    def whole(self, height: int, width: int) -> Reshape:
        """Back to maps."""
        if self.layout == "nchw":
            return Reshape((-1, self.channels, height, width))
        return Reshape((self.channels, height, -1, width))

    def padded(self, rows: int, columns: int) -> Pad:
        """Rows of zeros below and columns of zeros on the right."""
        after = dict(zip(self.axes, (0, rows, columns), strict=True))
        return Pad((0,) * 4, tuple(after.get(axis, 0) for axis in range(4)))

    def cropped(self, height: int, width: int) -> Crop:
        """The upper-left part."""
        return Crop(tuple((axis, 0, size) for axis, size in zip(self.axes[1:], (height, width), strict=True)))
