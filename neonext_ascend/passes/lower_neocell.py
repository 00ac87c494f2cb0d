"""Lower each NeoCell to the form that a machine runs: products with constant matrices."""

from __future__ import annotations

from torch import fx

from neonext_ascend.errors import GeometryError
from neonext_ascend.kernels.lowerings import LoweringRule
from neonext_ascend.passes.base import Pass, PassReport
from neonext_ascend.passes.deployed import SHAPE
from neonext_ascend.passes.frozen.neocell import FrozenNeoCell
from neonext_ascend.passes.graph import modules, only_input, place, where
from neonext_ascend.passes.shapes import propagate_shapes
from neonext_ascend.spec import Layout, LoweringName


class LowerNeoCell(Pass):
    """The matrices depend on the map's size, so the input's shape fixes them.

    Args:
        input_shape: of the network's input, batch included; the batch does not matter.
        layout: of the maps; with ``chnw`` the pass :mod:`to_chnw` has to follow.
        lowering: one for all, or a rule. A NeoCell that it does not take becomes block-diagonal, which is reported.
    """

    name = "lower_neocell"

    def __init__(
        self,
        input_shape: tuple[int, ...],
        layout: Layout = "nchw",
        lowering: LoweringName | LoweringRule = "blockdiag",
    ) -> None:
        self.input_shape, self.layout, self.lowering = input_shape, layout, lowering

    def apply(self, graph: fx.GraphModule, report: PassReport) -> None:
        """Rewrite.

        Raises:
            PassRefusedError: the network does not take the input.
            GeometryError: a map is too small for a cell or its shift.
        """
        propagate_shapes(graph, self.input_shape)
        for node, cell in modules(graph):
            if not isinstance(cell, FrozenNeoCell):
                continue
            source = only_input(node)
            assert source is not None
            height, width = source.meta[SHAPE][-2:]
            cell.geometry.output_size(height, width)
            name = self.lowering if isinstance(self.lowering, str) else self.lowering(cell.geometry, height, width)
            try:
                lowered = cell.lowered(height, width, self.layout, name)
            except GeometryError as error:
                report.refuse(where(node), f"{error}; block-diagonal instead")
                name = "blockdiag"
                lowered = cell.lowered(height, width, self.layout, name)
            place(graph, node, lowered)
            report.changed.append(where(node))
            report.lowerings[where(node)] = name
