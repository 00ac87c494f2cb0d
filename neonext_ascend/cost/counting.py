"""What one operator of a graph is for a chip: multiplications, elements, bytes.

Real numbers are counted in fp16, as ATC compiles by default. Maps of convolutions are counted as the chip lays them
out, their channels filled up to whole blocks (NC1HWC0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from math import lcm, prod

from neonext_ascend.artifacts.int8_twins import QUANT
from neonext_ascend.cost.flow import Flow, Node
from neonext_ascend.cost.folding import Shape
from neonext_ascend.cost.groups import Group, grouped
from neonext_ascend.cost.int8.values import FP16_BYTES, Values, filled, laid_out
from neonext_ascend.cost.layouts import is_passed_once_more, is_ragged, maps_in_blocks
from neonext_ascend.cost.rules import BLOCK, FUNCTIONS, INT8_BLOCK, Kind

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
        int8: whether it is a product of whole numbers.
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
    int8: bool = False


@dataclass(frozen=True, slots=True)
class Operator:
    """What a chip runs at once, its nodes, and its work."""

    name: str
    what: str
    nodes: tuple[str, ...]
    work: Work


def operators(flow: Flow, int8: Collection[str] = ()) -> list[Operator]:
    """All operators of a graph that take time, in order.

    Args:
        flow: in floating point.
        int8: results of the products that are in int8.
    """
    groups = grouped(flow)
    values = Values(flow, groups, maps_in_blocks(flow, groups), int8)
    return [*_converted_input(flow), *(one for group in groups for one in _counted(flow, group, values))]


def _counted(flow: Flow, group: Group, values: Values) -> Iterator[Operator]:
    for name, products in values.quantised(group):
        nodes = tuple(f"{product}.quant" for product in products)  # as exporters/int8 names them
        elements, read, written = flow.tensors[name].size, values.in_fp16(name), values.in_int8(name)
        yield Operator(nodes[0], QUANT, nodes, Work("quantise", elements=elements, read=read, written=written))
    if group.kind != "free":
        yield Operator(group.name, group.what, tuple(node.name for node in group.nodes), _work(flow, group, values))


def _converted_input(flow: Flow) -> Iterator[Operator]:
    """Images come in fp32, pixel by pixel: making them fp16 in blocks is an operator of its own, without AIPP."""
    for name in flow.inputs:
        shape, readers = flow.shape(name), flow.readers.get(name, [])
        if len(shape) == 4 and flow.tensors[name].floating and any(reader.op == "Conv" for reader in readers):
            written = laid_out(shape) * FP16_BYTES
            work = Work("input", elements=prod(shape), read=prod(shape) * _FP32_BYTES, written=written)
            yield Operator(name, "input", (), work)


def _work(flow: Flow, group: Group, values: Values) -> Work:
    heart, int8 = group.heart, values.is_int8(group)
    written = sum(map(values.held, group.writes))
    read = written if heart.op in _SELECTING else sum(values.read(group, name) for name in group.reads)
    made = sum(flow.tensors[name].size for name in group.writes)
    seen = made if heart.op in _SELECTING else sum(flow.tensors[name].size for name in group.reads)
    elements = max(made, seen)
    if group.kind == "pool":
        elements = made * prod(heart.attributes.get("kernel_shape", (1,)))
    dense, cube = _product(flow, heart, INT8_BLOCK if int8 else BLOCK) if group.kind in _PRODUCT_KINDS else (0, 0)
    behind = {node.op for node in group.nodes[1:]} if dense else set()
    results = sum(map(values.in_fp16, group.writes)) // FP16_BYTES
    functions = results if behind & FUNCTIONS or {"Clip", "Mul"} <= behind else 0
    ragged = lines = 0
    if dense and group.kind in ("matmul", "attention"):
        shapes = [flow.shape(name) for name in (*group.reads, *group.writes)]
        ragged = read + written if any(map(is_ragged, shapes)) else 0
        operands = (name for name in dict.fromkeys(heart.inputs[:2]) if is_passed_once_more(flow.shape(name)))
        lines = FP16_BYTES * sum(flow.tensors[name].size for name in operands)
    weights = values.weights(group)
    return Work(group.kind, dense, cube, elements, functions, read, written, weights, ragged, lines, int8)


_PRODUCT_KINDS = ("conv", "pointwise", "depthwise", "grouped", "matmul", "attention")


def _product(flow: Flow, node: Node, depth: int) -> tuple[int, int]:
    """Multiplications, dense and filled up, what is summed over to ``depth``; none where shapes are unknown."""
    shapes = [flow.shape(name) for name in (*node.inputs[:2], node.outputs[0])]
    if not all(shapes):
        return 0, 0
    return (_convolution if node.op.startswith("Conv") else _matrices)(node, depth, *shapes)


def _convolution(node: Node, block: int, x: Shape, weight: Shape, y: Shape) -> tuple[int, int]:
    groups, area = int(node.attributes.get("group", 1)), prod(weight[2:])
    transposed = node.op == "ConvTranspose"
    inputs, outputs = (weight[0] // groups, weight[1]) if transposed else (weight[1], weight[0] // groups)
    pixels = y[0] * prod((x if transposed else y)[2:])
    # Narrow groups are taken together until they fill a block: what lies between them is zero.
    taken = min(lcm(lcm(inputs, block) // inputs, lcm(outputs, BLOCK) // outputs), groups) if groups > 1 else 1
    cube = -(-groups // taken) * filled(pixels) * filled(taken * inputs, block) * area * filled(taken * outputs)
    return pixels * groups * inputs * outputs * area, cube


def _matrices(node: Node, block: int, a: Shape, b: Shape, y: Shape) -> tuple[int, int]:
    if node.op == "Gemm":
        count, rows, columns, depth = 1, *y, a[0] if node.attributes.get("transA") else a[1]
    else:
        a, b = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
        rows, depth, columns = a[-2], a[-1], b[-1]
        count = prod(y) // max(rows * columns, 1)
        if len(b) == 2:  # all rows of all matrices meet one matrix
            count, rows = 1, count * rows
    return count * rows * depth * columns, count * filled(rows) * filled(depth, block) * filled(columns)


def total(works: Iterable[Work], name: str) -> int:
    """One of the counts over all operators."""
    return sum(int(getattr(work, name)) for work in works)
