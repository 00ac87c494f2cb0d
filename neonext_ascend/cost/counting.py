"""What one operator of a graph is for a chip: multiplications, elements, bytes.

Real numbers are counted in fp16, as ATC compiles by default. Maps of convolutions are counted as the chip lays them
out, their channels filled up to whole blocks (NC1HWC0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from math import lcm, prod

from neonext_ascend.cost.flow import Flow, Node
from neonext_ascend.cost.folding import Shape
from neonext_ascend.cost.groups import Group, grouped
from neonext_ascend.cost.layouts import is_passed_once_more, is_ragged, maps_in_blocks
from neonext_ascend.cost.rules import BLOCK, FUNCTIONS, Kind

FP16_BYTES = 2
_FP32_BYTES = 4
_SELECTING = frozenset({"Slice", "Split", "Gather", "GatherND", "GatherElements"})  # they read what they write, no more


@dataclass(frozen=True, slots=True)
class Work:
    """One operator's work.

    Attributes:
        kind: of work.
        dense: multiplications of its product, zeros included.
        cube: the same with each side of the product filled up to 16, as the cube unit takes it.
        elements: that the vector unit goes through.
        functions: results of a product that a function such as SiLU is computed of on the way out.
        read, written, weights: bytes.
        ragged: bytes of matrices around a product that fill no whole fractals.
        lines: bytes of its operands in rows that 910B's tiling does not take as they lie.
    """

    kind: Kind
    dense: int = 0
    cube: int = 0
    elements: int = 0
    functions: int = 0
    read: int = 0
    written: int = 0
    weights: int = 0
    ragged: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Operator:
    """What a chip runs at once, its nodes, and its work."""

    name: str
    what: str
    nodes: tuple[str, ...]
    work: Work


def operators(flow: Flow) -> list[Operator]:
    """All operators of a graph that take time, in order."""
    groups = grouped(flow)
    blocked = maps_in_blocks(flow, groups)
    counted = [
        Operator(group.name, group.what, tuple(node.name for node in group.nodes), _work(flow, group, blocked))
        for group in groups
        if group.kind != "free"
    ]
    return [*_converted_input(flow), *counted]


def _converted_input(flow: Flow) -> Iterator[Operator]:
    """Images come in fp32, pixel by pixel: making them fp16 in blocks is an operator of its own, without AIPP."""
    for name in flow.inputs:
        shape, readers = flow.shape(name), flow.readers.get(name, [])
        if len(shape) == 4 and flow.tensors[name].floating and any(reader.op == "Conv" for reader in readers):
            written = laid_out(shape) * FP16_BYTES
            work = Work("input", elements=prod(shape), read=prod(shape) * _FP32_BYTES, written=written)
            yield Operator(name, "input", (), work)


def _work(flow: Flow, group: Group, blocked: Collection[str]) -> Work:
    heart = group.heart
    sizes = {name: _bytes(flow, name, name in blocked) for name in (*group.reads, *group.writes)}
    written = sum(sizes[name] for name in group.writes)
    read = written if heart.op in _SELECTING else sum(sizes[name] for name in group.reads)
    made = sum(flow.tensors[name].size for name in group.writes)
    seen = made if heart.op in _SELECTING else sum(flow.tensors[name].size for name in group.reads)
    elements = max(made, seen)
    if group.kind == "pool":
        elements = made * prod(heart.attributes.get("kernel_shape", (1,)))
    dense, cube = _product(flow, heart) if group.kind in _PRODUCT_KINDS else (0, 0)
    behind = {node.op for node in group.nodes[1:]} if dense else set()
    functions = written // FP16_BYTES if behind & FUNCTIONS or {"Clip", "Mul"} <= behind else 0
    weights = FP16_BYTES * sum(flow.tensors[name].size for name in group.weights)
    ragged = lines = 0
    if dense and group.kind in ("matmul", "attention"):
        shapes = [flow.shape(name) for name in sizes]
        ragged = read + written if any(map(is_ragged, shapes)) else 0
        operands = (name for name in dict.fromkeys(heart.inputs[:2]) if is_passed_once_more(flow.shape(name)))
        lines = FP16_BYTES * sum(flow.tensors[name].size for name in operands)
    return Work(group.kind, dense, cube, elements, functions, read, written, weights, ragged, lines)


_PRODUCT_KINDS = ("conv", "pointwise", "depthwise", "grouped", "matmul", "attention")


def _product(flow: Flow, node: Node) -> tuple[int, int]:
    """Multiplications, dense and filled up; none where shapes are unknown."""
    shapes = [flow.shape(name) for name in (*node.inputs[:2], node.outputs[0])]
    if not all(shapes):
        return 0, 0
    return (_convolution if node.op.startswith("Conv") else _matrices)(node, *shapes)


def _convolution(node: Node, x: Shape, weight: Shape, y: Shape) -> tuple[int, int]:
    groups, area = int(node.attributes.get("group", 1)), prod(weight[2:])
    transposed = node.op == "ConvTranspose"
    inputs, outputs = (weight[0] // groups, weight[1]) if transposed else (weight[1], weight[0] // groups)
    pixels = y[0] * prod((x if transposed else y)[2:])
    # Narrow groups are taken together until they fill a block: what lies between them is zero.
    taken = min(lcm(lcm(inputs, BLOCK) // inputs, lcm(outputs, BLOCK) // outputs), groups) if groups > 1 else 1
    cube = -(-groups // taken) * filled(pixels) * filled(taken * inputs) * area * filled(taken * outputs)
    return pixels * groups * inputs * outputs * area, cube


def _matrices(node: Node, a: Shape, b: Shape, y: Shape) -> tuple[int, int]:
    if node.op == "Gemm":
        count, rows, columns, depth = 1, *y, a[0] if node.attributes.get("transA") else a[1]
    else:
        a, b = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
        rows, depth, columns = a[-2], a[-1], b[-1]
        count = prod(y) // max(rows * columns, 1)
        if len(b) == 2:  # all rows of all matrices meet one matrix
            count, rows = 1, count * rows
    return count * rows * depth * columns, count * filled(rows) * filled(depth) * filled(columns)


def filled(size: int) -> int:
    """A side of a product as the cube unit takes it."""
    return -(-size // BLOCK) * BLOCK


def _bytes(flow: Flow, name: str, blocked: bool) -> int:
    return FP16_BYTES * (laid_out(flow.shape(name)) if blocked else flow.tensors[name].size)


def laid_out(shape: Shape) -> int:
    """Elements of a map as a chip lays it out for convolutions; 0 where the shape is unknown."""
    if not shape:
        return 0
    return prod(shape) if len(shape) != 4 else shape[0] * filled(shape[1]) * shape[2] * shape[3]


def total(works: Iterable[Work], name: str) -> int:
    """One of the counts over all operators."""
    return sum(int(getattr(work, name)) for work in works)
