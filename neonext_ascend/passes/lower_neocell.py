"""Lower each NeoCell to the form that a machine runs: two batched matmuls with constant A and B."""

from __future__ import annotations

from torch import fx

from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.frozen_neocell import FrozenNeoCell
from neonext_ascend.passes.graph import SHAPE, modules, only_input, place, where
from neonext_ascend.passes.shapes import propagate_shapes


class LowerNeoCell(Pass):
    """Block-diagonal form; A and B depend on the map's size, so the input's shape fixes them.

    Args:
        input_shape: of the network's input, batch included; the batch does not matter.
    """

    name = "lower_neocell"

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite.

        Raises:
            PassRefusedError: the network does not take the input.
            GeometryError: a map is too small for a cell or its shift.
        """
        propagate_shapes(graph, self.input_shape)
        for node, cell in modules(graph):
            if isinstance(cell, FrozenNeoCell):
                source = only_input(node)
                assert source is not None
                height, width = source.meta[SHAPE][-2:]
                place(graph, node, cell.lowered(height, width))
                report.changed.append(where(node))
