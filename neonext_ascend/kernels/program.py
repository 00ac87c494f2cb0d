"""What a lowering is written in: a short program of reshapes and products with constant matrices.

One program has several readers: PyTorch runs it, the ONNX exporter writes it, the cost model counts it. Each is a
:class:`Machine`, and :func:`run` leads it through the steps, so that all mean the same computation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.kernels.geometry import Side
from neonext_ascend.spec import Layout

Index = NDArray[np.int64]
CUBE = 16  # rows, columns and depth that a cube unit multiplies at once in fp16 (hicann/runtime: 16 x 16 x 16)


@dataclass(frozen=True, slots=True)
class Reshape:
    """Another shape of the same elements in the same order; at most one length, the batch's, is -1."""

    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axis ``order[i]`` of the input becomes axis i."""

    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """``matrix @ x`` (left) or ``x @ matrix`` (right) over the last two axes; axes before them broadcast."""

    matrix: str
    side: Side


@dataclass(frozen=True, slots=True)
class Add:
    """Plus a constant that broadcasts."""

    constant: str


@dataclass(frozen=True, slots=True)
class Pad:
    """Zeros before and after, in elements, for each axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Crop:
    """Elements ``start`` to ``stop - 1`` of each of these axes: axis -> (start, stop)."""

    window: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Each part of neighbouring channels goes its own way; the results are joined again along the same axis.

    Args:
        axis: of the channels.
        parts: number of channels and steps of each.
    """

    axis: int
    parts: tuple[tuple[int, Program], ...]


Step = Reshape | Transpose | Product | Add | Pad | Crop | Parallel
Program = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A constant matrix made of a NeoCell's cells, known by shape now and by content when asked.

    Its elements are ``left[i] * right[j]``, where left counts through one zero and then the cells L of all groups,
    flattened in order, and right likewise through the cells R; a factor whose index is ``None`` is 1.

    Args:
        shape: of the matrix, batch axes included.
        left, right: give the index of each element, of exactly that shape.
    """

    shape: tuple[int, ...]
    left: Callable[[], Index] | None = None
    right: Callable[[], Index] | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """One NeoCell for one size of map, without its bias.

    Args:
        lowering: its name.
        layout: of what goes in and comes out: ``(N, C, H, W)`` or ``[C, H, N, W]``.
        steps: the program.
        matrices: its constants by name.
    """

    lowering: str
    layout: Layout
    steps: Program
    matrices: Mapping[str, Matrix]


Value = TypeVar("Value")


class Machine(Protocol[Value]):
    """What carries a program out: on tensors, on names in a graph, or on shapes alone."""

    def reshape(self, x: Value, step: Reshape) -> Value:
        """The same elements in another shape."""
        ...

    def transpose(self, x: Value, step: Transpose) -> Value:
        """The axes in another order."""
        ...

    def product(self, x: Value, step: Product) -> Value:
        """A product with a constant matrix."""
        ...

    def add(self, x: Value, step: Add) -> Value:
        """Plus a constant."""
        ...

    def pad(self, x: Value, step: Pad) -> Value:
        """With zeros around."""
        ...

    def crop(self, x: Value, step: Crop) -> Value:
        """A window of it."""
        ...

    def join(self, parts: list[Value], axis: int) -> Value:
        """The parts, one after the other along ``axis``."""
        ...


def run(program: Program, x: Value, machine: Machine[Value]) -> Value:
    """Carry out every step on ``x``."""
    for step in program:
        # Not ``match``: torch.compile of torch 2.8 cannot trace its classes.
        if isinstance(step, Reshape):
            x = machine.reshape(x, step)
        elif isinstance(step, Transpose):
            x = machine.transpose(x, step)
        elif isinstance(step, Product):
            x = machine.product(x, step)
        elif isinstance(step, Add):
            x = machine.add(x, step)
        elif isinstance(step, Pad):
            x = machine.pad(x, step)
        elif isinstance(step, Crop):
            x = machine.crop(x, step)
        else:
            results, first = [], 0
            for channels, steps in step.parts:
                part = machine.crop(x, Crop(((step.axis, first, first + channels),)))
                results.append(run(steps, part, machine))
                first += channels
            x = machine.join(results, step.axis)
    return x


def filled(length: int) -> int:
    """``length`` rounded up to whole blocks of the cube unit."""
    return -(-length // CUBE) * CUBE


def reshaped(shape: tuple[int, ...], into: tuple[int, ...]) -> tuple[int, ...]:
    """``into`` with its -1 worked out from ``shape``."""
    known = int(np.prod([n for n in into if n != -1]))
    return tuple(int(np.prod(shape)) // known if n == -1 else n for n in into)
