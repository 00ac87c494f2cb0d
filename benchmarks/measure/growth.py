"""How the cost of one NeoCell grows with cell, map and channels, against the paper's equations 4 and 5.

    python -m benchmarks.measure.growth [--quick] [--json FILE]

Multiplications: depthwise convolution ``C H W k^2`` (equation 4), NeoCell ``2 C H W k`` (equation 5), block-diagonal
with its zeros ``C (H' H W + H' W W')``. One cell size, no shift, batch 1, one thread, ONNX Runtime. Every form is
checked before it is timed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure.cell_file import from_layout, write_cell, write_depthwise, write_program
from benchmarks.measure.machine import describe_machine, machine_text
from benchmarks.measure.ort_run import Array, InPlace, check
from benchmarks.measure.timing import Spread, interleaved
from benchmarks.outcome import conclude, parser_for
from benchmarks.page.fit import fit_power_law
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.lowerings import lower
from neonext_ascend.kernels.program import Product, Program, Reshape, Transpose
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import redraw_at_order_one

BLOCKDIAG, PATCHWISE, DEPTHWISE = FORMS = ("block-diagonal", "patchwise", "depthwise k x k")
REPEATS, QUICK_REPEATS = 20, 2


@dataclass(frozen=True, slots=True)
class Case:
    """One NeoCell: ``channels`` maps of ``side x side`` pixels, cells of ``cell x cell``."""

    channels: int
    side: int
    cell: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """One size grows, the others stay.

    Args:
        title: in words.
        size: the field of :class:`Case` that grows.
        base: the others.
        values: of the growing one.
    """

    title: str
    size: str
    base: Case
    values: tuple[int, ...]

    def cases(self) -> dict[int, Case]:
        """By the growing size."""
        return {value: Case(**{**asdict(self.base), self.size: value}) for value in self.values}


SWEEPS = (
    Sweep("cell size k, 96 channels of 56 x 56", "cell", Case(96, 56, 7), (2, 4, 7, 14, 28)),
    Sweep("map H = W, 96 channels, k = 7", "side", Case(96, 56, 7), (14, 28, 56, 112)),
    Sweep("channels C, maps of 28 x 28, k = 7", "channels", Case(96, 28, 7), (32, 64, 128, 256, 512, 1024)),
)
# Multiplications by form.
COUNTS: Mapping[str, Callable[[Case], int]] = {
    BLOCKDIAG: lambda case: case.channels * 2 * case.side**3,
    PATCHWISE: lambda case: 2 * case.channels * case.side**2 * case.cell,
    DEPTHWISE: lambda case: case.channels * case.side**2 * case.cell**2,
}


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = parser_for("growth", __doc__)
    options = parser.parse_args()
    machine = describe_machine()
    print(machine_text(machine))
    sweeps = []
    for sweep in SWEEPS:
        points = [
            {"value": value, **measure(case, QUICK_REPEATS if options.quick else REPEATS)}
            for value, case in sweep.cases().items()
        ]
        fits = {form: fitted(points, form) for form in FORMS}
        predicted = {form: predicted_exponent(sweep, form) for form in FORMS}
        sweeps.append({"title": sweep.title, "points": points, "fits": fits, "predicted": predicted})
        print(sweep.title)
        for form in FORMS:
            print(f"  {form:<18} exponent {fits[form]['exponent']:.2f}, predicted {predicted[form]}")
    return conclude("growth", machine, {"quick": options.quick, "sweeps": sweeps}, [], options.json)


def fitted(points: list[dict[str, Any]], form: str) -> dict[str, float]:
    """The power law through the medians of one form."""
    law = fit_power_law([point["value"] for point in points], [point[form]["median"] for point in points])
    return asdict(law)


def predicted_exponent(sweep: Sweep, form: str) -> int:
    """How the form's multiplications grow."""
    counts = [COUNTS[form](case) for case in sweep.cases().values()]
    return round(fit_power_law(sweep.values, counts).exponent)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Seconds by form."""
    geometry = Geometry((CellGroup(Cell.square(case.cell), case.channels),))
    cell = NeoCell(geometry).eval()
    redraw_at_order_one(cell)
    shape = (1, case.channels, case.side, case.side)
    x = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    with torch.inference_mode():
        expected = cell(torch.from_numpy(x)).numpy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {form: folder / f"{number}.onnx" for number, form in enumerate(FORMS)}
        write_cell(cell, lower("blockdiag", geometry, case.side, case.side), shape, paths[BLOCKDIAG])
        write_program(patches(case), _cells(cell), shape, paths[PATCHWISE])
        write_depthwise(case.channels, case.cell, shape, paths[DEPTHWISE])
        runs = {form: InPlace(path, x, 1) for form, path in paths.items()}
        for form in (BLOCKDIAG, PATCHWISE):
            check(form, from_layout(runs[form](), "nchw", shape), expected)
        seconds = interleaved(runs, repeats)
    return {form: asdict(Spread.of(samples)) for form, samples in seconds.items()}


def patches(case: Case) -> Program:
    """Equation 1 for cells without shift that divide the map: to patches, two products, and back."""
    (channels, side, k) = (case.channels, case.side, case.cell)
    count = side // k
    # (N, C, H/k, k, W/k, k) to (N, C, H/k, W/k, k, k) and back
    swap = Transpose((0, 1, 2, 4, 3, 5))
    return (
        Reshape((-1, channels, count, k, count, k)),
        swap,
        Product("left", "left"),
        Product("right", "right"),
        swap,
        Reshape((-1, channels, side, side)),
    )


def _cells(cell: NeoCell) -> dict[str, Array]:
    """L and R, ``(C, 1, 1, k, k)``."""
    sides = {"left": cell.weight_a[0], "right": cell.weight_b[0]}
    return {side: weight.detach().numpy()[:, None, None] for side, weight in sides.items()}


if __name__ == "__main__":
    sys.exit(main())
