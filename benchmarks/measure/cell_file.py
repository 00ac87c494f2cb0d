"""One NeoCell as an ONNX file, in each lowering and layout; and the depthwise convolution that it stands for.

The nodes are those of the lowering's program and nothing else: a CHNW file takes and gives ``[C, H, N, W]``. Reshapes
at its two edges move nothing inside a network and are left out, so that they are not timed as copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from benchmarks.measure.peaks import save
from neonext_ascend.kernels.functional import build
from neonext_ascend.kernels.program import Add, Crop, Lowered, Pad, Product, Program, Reshape, Transpose, run
from neonext_ascend.kernels.shapes import Shape, ShapeMachine, output_shape
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.spec import Layout

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work(ShapeMachine):
    """Notes the multiplications of each product of a program, zeros included."""

    macs: list[int] = field(default_factory=list)

    def product(self, x: Shape, step: Product) -> Shape:
        """As in the base."""
        matrix, out = self.constants[step.matrix], ShapeMachine.product(self, x, step)
        self.macs.append(int(np.prod(out)) * matrix[-1 if step.side == "left" else -2])
        return out


def work(lowered: Lowered, shape: Shape) -> tuple[int, int]:
    """Multiplications of a lowering, and bytes of its input, output and matrices in fp32.

    Args:
        lowered: the program.
        shape: of its input, batch included.
    """
    constants = {name: matrix.shape for name, matrix in lowered.matrices.items()}
    machine = Work(constants)
    out = run(lowered.steps, shape, machine)
    return sum(machine.macs), 4 * sum(int(np.prod(s)) for s in (shape, out, *constants.values()))


def write_cell(cell: NeoCell, lowered: Lowered, shape: Shape, path: Path) -> None:
    """Write a NeoCell without bias.

    Args:
        cell: whose weights it takes.
        lowered: its program for maps of this size.
        shape: of the input in the lowering's layout, batch included.
        path: of the file.
    """
    left, right = list(cell.weight_a), list(cell.weight_b)
    matrices = {name: build(m, left, right).detach().numpy() for name, m in lowered.matrices.items()}
    write_program(lowered.steps, matrices, shape, path)


def write_program(steps: Program, matrices: Mapping[str, Array], shape: Shape, path: Path) -> None:
    """Write a program with its constants for an input of this shape."""
    inner = [number for number, step in enumerate(steps) if not isinstance(step, Reshape)]
    sizes = {name: matrix.shape for name, matrix in matrices.items()}
    shape, steps = output_shape(steps[: inner[0]], shape, sizes), steps[inner[0] : inner[-1] + 1]
    writer = _Writer(constants=dict(matrices))
    run(steps, "x", writer)
    save(writer.graph(shape, output_shape(steps, shape, sizes)), path)


def write_depthwise(channels: int, kernel: int, shape: Shape, path: Path) -> None:
    """A depthwise convolution ``kernel x kernel`` on ``(N, C, H, W)`` that keeps the map's size."""
    weight = np.random.default_rng(0).standard_normal((channels, 1, kernel, kernel), dtype=np.float32)
    writer = _Writer(constants={"w": weight})
    # k - 1 zeros in all: of an even kernel one more behind than before
    pads = [(kernel - 1) // 2] * 2 + [kernel // 2] * 2
    writer.node("Conv", ["x", "w"], group=channels, kernel_shape=[kernel] * 2, pads=pads)
    save(writer.graph(shape, shape), path)


def in_layout(x: Array, layout: Layout) -> Array:
    """``(N, C, H, W)`` as it lies in this layout."""
    return x if layout == "nchw" else np.ascontiguousarray(x.transpose(1, 2, 0, 3))


def from_layout(y: Array, layout: Layout, shape: Shape) -> Array:
    """What lies in this layout as ``(N, C, H', W')`` of this shape."""
    if layout == "nchw":
        return y.reshape(shape)
    n, c, height, width = shape
    return y.reshape(c, height, n, width).transpose(2, 0, 1, 3)


@dataclass(slots=True)
class _Writer:
    """Carries a program out by writing it down, on names of values."""

    constants: dict[str, NDArray[np.generic]]
    nodes: list[NodeProto] = field(default_factory=list)

    def reshape(self, x: str, step: Reshape) -> str:
        return self.node("Reshape", [x, self._integers(step.shape)])

    def transpose(self, x: str, step: Transpose) -> str:
        return self.node("Transpose", [x], perm=list(step.order))

    def product(self, x: str, step: Product) -> str:
        return self.node("MatMul", [step.matrix, x] if step.side == "left" else [x, step.matrix])

    def add(self, x: str, step: Add) -> str:
        return self.node("Add", [x, step.constant])

    def pad(self, x: str, step: Pad) -> str:
        return self.node("Pad", [x, self._integers((*step.before, *step.after))])

    def crop(self, x: str, step: Crop) -> str:
        axes, starts, stops = zip(*step.window, strict=True)
        return self.node("Slice", [x, *(self._integers(numbers) for numbers in (starts, stops, axes))])

    def join(self, parts: list[str], axis: int) -> str:
        return self.node("Concat", parts, axis=axis)

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def graph(self, before: Shape, after: Shape) -> GraphProto:
        """The whole; the last node's value is the output."""
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", before), (self.nodes[-1].output[0], after))
        ]
        constants = [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in self.constants.items()]
        return helper.make_graph(self.nodes, "cell", values[:1], values[1:], constants)

    def _integers(self, numbers: Sequence[int]) -> str:
        name = f"n{len(self.constants)}"
        self.constants[name] = np.asarray(numbers, dtype=np.int64)
        return name
