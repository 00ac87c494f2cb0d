"""How tensors lie on a chip: maps of convolutions in blocks of channels, matrices in fractals or row by row."""

from __future__ import annotations

from collections.abc import Sequence

from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.folding import Shape
from neonext_ascend.cost.groups import Group
from neonext_ascend.cost.rules import BLOCK

_ON_MAPS = frozenset({"conv", "pointwise", "depthwise", "grouped", "pool"})
_APART = frozenset({"matmul", "attention", "transpose", "unknown"})  # they read one layout and write another
# Rows in fp16 elements that BatchMatMulV3's host tiling takes on 910B without a pass through global memory (nd2nz): of
# 480 answers for 910B3 and 910B4 (hicann/ops-nn e5c3fa9) all are met; rows that were not asked for go by this rule.
_LINE, _SHORT = 64, 128


def maps_in_blocks(flow: Flow, groups: Sequence[Group]) -> frozenset[str]:
    """Values of four axes that lie as NC1HWC0: a convolution or pool makes or reads them, or what is made of them."""
    kin: dict[str, str] = {}

    def first(name: str) -> str:
        while kin.setdefault(name, name) != name:
            kin[name] = kin[kin[name]]
            name = kin[name]
        return name

    found: set[str] = set()
    for group in groups:
        maps = [name for name in (*group.reads, *group.writes) if len(flow.shape(name)) == 4]
        if group.kind in _ON_MAPS:
            found.update(maps)
        elif group.kind not in _APART and (group.kind != "free" or len({flow.shape(name) for name in maps}) == 1):
            for name in maps[1:]:
                kin[first(name)] = first(maps[0])
    kinds = {first(name) for name in found}
    return frozenset(name for name in [*kin, *found] if first(name) in kinds)


def is_ragged(shape: Shape) -> bool:
    """Whether matrices of this shape fill no whole fractals, so that a 310P brings them into blocks and back.

    Of two axes only the rows count, as the first one is filled up once.
    """
    return bool(shape) and any(size % BLOCK for size in (shape[-2:] if len(shape) > 2 else shape[-1:]))


def is_passed_once_more(shape: Shape) -> bool:
    """Whether rows of this operand go through global memory before a product on 910B."""
    row = shape[-1] if shape else 0
    return row % _LINE != 0 and (row % BLOCK != 0 or row >= _SHORT)
