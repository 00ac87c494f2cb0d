"""Write a layer's program as ONNX nodes: Reshape, Transpose, MatMul, Add, Pad, Slice and Concat, one for each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.kernels.program import Add, Crop, Pad, Parallel, Product, Program, Reshape, Transpose, run
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.frozen.program import FrozenProgram


def emit_program(graph: OnnxGraph, node: fx.Node, layer: FrozenProgram, inputs: list[str], out: str) -> None:
    """Append a layer's nodes; the last step's value is ``out``, those before are named after what they are."""
    (x,) = inputs
    emit_steps(graph, readable(str(node.target)), layer.steps, layer.constants, x, out)


def emit_steps(
    graph: OnnxGraph, base: str, program: Program, constants: Mapping[str, Deferred], x: str, out: str
) -> None:
    """Append the nodes of a program on ``x``; ``base`` is the name of what it belongs to."""
    machine = _OnnxMachine(graph, base, {n: graph.constant(f"{base}.{n}", c) for n, c in constants.items()})
    *steps, last = program
    x = run(tuple(steps), x, machine)
    if isinstance(last, Parallel):
        machine.joined = out
    else:
        machine.next = out
    run((last,), x, machine)


@dataclass(slots=True)
class _OnnxMachine:
    """Carries a program out on names of values.

    Args:
        graph: that the nodes go into.
        base: name of the layer.
        constants: name in the program -> name in the graph.
        next: name of the next value, where it is given.
        joined: name of the joined parts, where it is given.
    """

    graph: OnnxGraph
    base: str
    constants: dict[str, str]
    next: str | None = None
    joined: str | None = None

    def reshape(self, x: str, step: Reshape) -> str:
        return self.graph.reshape(x, step.shape, self._name("view"))

    def transpose(self, x: str, step: Transpose) -> str:
        return self.graph.node("Transpose", [x], self._name("transposed"), perm=list(step.order))

    def product(self, x: str, step: Product) -> str:
        matrix = self.constants[step.matrix]
        inputs = [matrix, x] if step.side == "left" else [x, matrix]
        return self.graph.node("MatMul", inputs, self._name(f"{step.matrix}_product"))

    def add(self, x: str, step: Add) -> str:
        return self.graph.node("Add", [x, self.constants[step.constant]], self._name("sum"))

    def pad(self, x: str, step: Pad) -> str:
        pads = self.graph.integers(f"{self.base}.pads", [*step.before, *step.after])
        return self.graph.node("Pad", [x, pads], self._name("padded"))

    def crop(self, x: str, step: Crop) -> str:
        axes, starts, ends = (list(column) for column in zip(*step.window, strict=True))
        bounds = [
            self.graph.integers(f"{self.base}.{name}", values)
            for name, values in (("starts", starts), ("ends", ends), ("axes", axes))
        ]
        return self.graph.node("Slice", [x, *bounds], self._name("window"))

    def join(self, parts: list[str], axis: int) -> str:
        return self.graph.node("Concat", parts, self.joined or self._name("joined"), axis=axis)

    def _name(self, label: str) -> str:
        name, self.next = self.next, None
        return name or self.graph.reserve(f"{self.base}.{label}")
