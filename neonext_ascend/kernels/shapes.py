"""A program's shapes, without computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neonext_ascend.kernels.program import Add, Crop, Pad, Product, Program, Reshape, Transpose, reshaped, run

Shape = tuple[int, ...]


def output_shape(program: Program, shape: Shape, constants: Mapping[str, Shape]) -> Shape:
    """Shape of the result for an input of ``shape``; ``constants`` are the shapes of those in the steps."""
    return run(program, shape, ShapeMachine(constants))


@dataclass(frozen=True, slots=True)
class ShapeMachine:
    """Carries a program out on shapes; a subclass may note what it sees."""

    constants: Mapping[str, Shape]

    def reshape(self, x: Shape, step: Reshape) -> Shape:
        """The -1 worked out."""
        return reshaped(x, step.shape)

    def transpose(self, x: Shape, step: Transpose) -> Shape:
        """The axes in another order."""
        return tuple(x[axis] for axis in step.order)

    def product(self, x: Shape, step: Product) -> Shape:
        """``(.., M, N)`` for ``(.., M, K) @ (.., K, N)``."""
        matrix = self.constants[step.matrix]
        a, b = (matrix, x) if step.side == "left" else (x, matrix)
        if a[-1] != b[-2]:
            raise AssertionError(f"product of {a} and {b}")
        return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])

    def add(self, x: Shape, step: Add) -> Shape:
        """The same shape."""
        return np.broadcast_shapes(x, self.constants[step.constant])

    def pad(self, x: Shape, step: Pad) -> Shape:
        """Longer by what is put around."""
        return tuple(n + before + after for n, before, after in zip(x, step.before, step.after, strict=True))

    def crop(self, x: Shape, step: Crop) -> Shape:
        """The window's size."""
        sizes = {axis: stop - start for axis, start, stop in step.window}
        return tuple(sizes.get(axis, n) for axis, n in enumerate(x))

    def join(self, parts: list[Shape], axis: int) -> Shape:
        """As long as all parts together."""
        length = sum(part[axis] for part in parts)
        return (*parts[0][:axis], length, *parts[0][axis + 1 :])
