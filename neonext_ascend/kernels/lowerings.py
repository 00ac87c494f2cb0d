"""The lowerings of a NeoCell by name: each writes a program for one size of map and one layout.

All compute ``Y_c = A_c X_c B_c``; they differ in how many zeros they multiply, how full the blocks of a cube unit get,
and how much they move. :mod:`cost` counts all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neonext_ascend.errors import GeometryError, UsageError
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lower_blockdiag import blockdiag
from neonext_ascend.kernels.lower_kron import kron
from neonext_ascend.kernels.lower_packed import packed
from neonext_ascend.kernels.lower_padded import padded
from neonext_ascend.kernels.lower_patchwise import patchwise
from neonext_ascend.kernels.program import Lowered
from neonext_ascend.spec import LOWERINGS, Layout, LoweringName

# Names the lowering of a NeoCell on a map of (height, width) pixels.
LoweringRule = Callable[[Geometry, int, int], LoweringName]

_WRITERS: Mapping[LoweringName, Callable[[Geometry, int, int, Layout], Lowered]] = {
    "blockdiag": blockdiag,
    "packed": packed,
    "padded": padded,
    "patchwise": patchwise,
    "kron": kron,
}


def lower(name: LoweringName, geometry: Geometry, height: int, width: int, layout: Layout = "nchw") -> Lowered:
    """The program of one NeoCell without its bias.

    Args:
        name: of the lowering.
        geometry: the groups.
        height, width: of the map in front of the NeoCell, in pixels.
        layout: of what goes in and comes out.

    Raises:
        GeometryError: the map is too small, or this lowering does not take this NeoCell; the message says why.
        UsageError: there is no lowering of that name.
    """
    if name not in LOWERINGS:
        raise UsageError(f"lowering {name!r}: expected {', '.join(LOWERINGS)}")
    return _WRITERS[name](geometry, height, width, layout)


def legal(geometry: Geometry, height: int, width: int, layout: Layout = "nchw") -> dict[LoweringName, Lowered]:
    """Every lowering that takes this NeoCell, in the table's order; block-diagonal always does.

    Raises:
        GeometryError: the map is too small for the NeoCell.
    """
    geometry.output_size(height, width)
    found: dict[LoweringName, Lowered] = {}
    for name in LOWERINGS:
        try:
            found[name] = lower(name, geometry, height, width, layout)
        except GeometryError:
            if name == "blockdiag":
                raise
    return found
