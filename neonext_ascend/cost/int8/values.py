"""How values lie where products are int8: as whole numbers of one byte where such a product reads them, else in fp16.

An int8 product brings its results back on the way out, and to int8 again where one of their readers is an int8 product;
then they are kept so for whoever reads them. A value that something else gives is quantised by an operator of its own,
once for all that read it. Of the ways tried this one meets the published int8 figures best (docs/cost.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import prod

from neonext_ascend.cost.flow import Flow, Node
from neonext_ascend.cost.folding import Shape
from neonext_ascend.cost.groups import Group
from neonext_ascend.cost.rules import BLOCK, INT8_BLOCK

FP16_BYTES, INT8_BYTES, _INT32_BYTES = 2, 1, 4


class Values:
    """Bytes of a graph's values and constants.

    Args:
        flow: the graph, in floating point.
        groups: its operators.
        blocked: maps that lie in blocks of channels.
        products: results of those in int8.
    """

    def __init__(
        self, flow: Flow, groups: Sequence[Group], blocked: Collection[str], products: Collection[str] = ()
    ) -> None:
        self._flow, self._blocked = flow, blocked
        hearts = {id(group.heart): group for group in groups if products and group.heart.outputs[0] in products}
        made = {name for group in hearts.values() for name in group.writes}
        readers: dict[str, list[Node]] = {}
        for group in hearts.values():
            readers.setdefault(group.heart.inputs[0], []).append(group.heart)
        self._hearts, self._kept = hearts.keys(), readers.keys() & made
        self._apart = {name: nodes for name, nodes in readers.items() if name not in made}

    def is_int8(self, group: Group) -> bool:
        """Whether the product of this operator is."""
        return id(group.heart) in self._hearts

    def read(self, group: Group, name: str) -> int:
        """Bytes that an operator reads of a value."""
        return self.in_int8(name) if self.is_int8(group) and name == group.heart.inputs[0] else self.held(name)

    def held(self, name: str) -> int:
        """Bytes of a value as its maker leaves it."""
        return self.in_int8(name) if name in self._kept else self.in_fp16(name)

    def weights(self, group: Group) -> int:
        """Bytes of an operator's constants: of an int8 product one each, and four for a number of its bias."""
        sizes = {name: self._flow.tensors[name].size for name in group.weights}
        if not self.is_int8(group):
            return FP16_BYTES * sum(sizes.values())
        weight = sizes.pop(group.heart.inputs[1], 0)
        return INT8_BYTES * weight + _INT32_BYTES * sum(sizes.values())

    def quantised(self, group: Group) -> Iterator[tuple[str, tuple[str, ...]]]:
        """A value that is quantised in front of this operator, and its int8 products; of several the first has it."""
        name = group.heart.inputs[0] if self.is_int8(group) else ""
        if name in self._apart and self._apart[name][0] is group.heart:
            yield name, tuple(node.name for node in self._apart[name])

    def in_fp16(self, name: str) -> int:
        """Bytes of a value in fp16."""
        return FP16_BYTES * self._elements(name, BLOCK)

    def in_int8(self, name: str) -> int:
        """Bytes of a value in int8."""
        return INT8_BYTES * self._elements(name, INT8_BLOCK)

    def _elements(self, name: str, block: int) -> int:
        return laid_out(self._flow.shape(name), block) if name in self._blocked else self._flow.tensors[name].size


def laid_out(shape: Shape, block: int = BLOCK) -> int:
    """Elements of a map as a chip lays it out for convolutions; 0 where the shape is unknown."""
    if not shape:
        return 0
    return prod(shape) if len(shape) != 4 else shape[0] * filled(shape[1], block) * shape[2] * shape[3]


def filled(size: int, block: int = BLOCK) -> int:
    """A side of a product as the cube unit takes it."""
    return -(-size // block) * block
