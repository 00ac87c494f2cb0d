"""The fused kernels in Triton's interpreter against the reference, forward and backward.

For the Python of the compiler's own virtual environment: ``TRITON_INTERPRET=1 PYTHONPATH=. python -m
tests.vendor_compiler.interpreter``. One line a case, one JSON object at the end, exit status 1 if a bound is missed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.kernels.reference import neocell_patchwise
from neonext_ascend.kernels.triton_neocell import launches, neocell_backward, neocell_forward

# max|difference| / max|reference|; the reference is computed in float64 from the same rounded inputs.
# No bfloat16: the interpreter multiplies its bits as whole numbers.
BOUNDS = {torch.float32: 1e-6, torch.float16: 5e-3}


@dataclass(frozen=True, slots=True)
class Case:
    """A geometry as (cell size, channels, shifted) for each group, and a batch of maps."""

    groups: tuple[tuple[int, int, bool], ...]
    batch: int
    height: int
    width: int

    @property
    def geometry(self) -> Geometry:
        """The geometry in the package's own words."""
        return Geometry(tuple(CellGroup(Cell.square(k), n, shift) for k, n, shift in self.groups))


CASES = (
    # The networks' stages: maps of 56, 28, 14 and 7, and of 96, 48, 24 and 12 pixels.
    Case(((4, 5, True), (7, 9, True)), 2, 56, 56),
    Case(((4, 4, True), (7, 7, True)), 3, 28, 28),
    Case(((7, 8, True),), 5, 14, 14),
    Case(((7, 2, False),), 9, 7, 7),
    Case(((4, 4, True), (7, 7, True)), 1, 96, 96),
    Case(((4, 4, True), (7, 7, True)), 1, 48, 48),
    Case(((7, 7, True),), 3, 24, 24),
    Case(((7, 7, True),), 3, 12, 12),
    # Two cell sizes on the smallest map; fewer channels than shifts; a remainder; no shift.
    Case(((5, 3, False), (3, 4, False)), 5, 7, 7),
    Case(((5, 2, True), (3, 4, True)), 2, 12, 12),
    Case(((4, 3, False), (7, 3, False)), 2, 28, 28),
    # Cropped blocks, maps that are not square, and a map larger than a tile in one direction only.
    Case(((7, 9, True),), 2, 13, 9),
    Case(((3, 4, True), (1, 2, False)), 3, 10, 33),
    Case(((7, 7, True),), 2, 9, 130),
    Case(((5, 5, True),), 1, 70, 7),
    Case(((7, 2, False),), 1, 66, 65),
    # Cells larger than what a product takes at least, and one as large as the map.
    Case(((17, 3, True),), 2, 40, 40),
    Case(((28, 2, False),), 2, 28, 28),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One case in one dtype, its relative errors by output."""

    case: Case
    dtype: str
    errors: dict[str, float]
    bound: float

    @property
    def passed(self) -> bool:
        """Whether every output is within the bound; not a number is not."""
        return all(error <= self.bound for error in self.errors.values())


def run(case: Case, dtype: torch.dtype) -> Result:
    """Both passes of one case, through the kernels and through autograd on the reference."""
    generator = torch.Generator().manual_seed(case.height * 1000 + case.width)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    geometry = case.geometry
    x, grad = (draw(case.batch, geometry.channels, case.height, case.width) for _ in range(2))
    left = [draw(n, k, k) / k**0.5 for k, n, _ in case.groups]
    right = [draw(n, k, k) / k**0.5 for k, n, _ in case.groups]

    y = neocell_forward(x, left, right, geometry)
    dx, dleft, dright = neocell_backward(grad, x, left, right, geometry)

    exact = [tensor.double().requires_grad_() for tensor in (x, *left, *right)]
    cells = exact[1:]
    expected = neocell_patchwise(exact[0], cells[: len(left)], cells[len(left) :], geometry)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())

    names = ["y", "dx", *(f"dL{g}" for g in range(len(left))), *(f"dR{g}" for g in range(len(right)))]
    pairs = zip(names, (y, dx, *dleft, *dright), (expected.detach(), *expected_grads), strict=True)
    return Result(case, str(dtype), {name: _relative(a, b) for name, a, b in pairs}, BOUNDS[dtype])


def _relative(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found.double() - expected).abs().max() / expected.abs().max())


def results() -> Iterator[Result]:
    """Every case in every dtype."""
    for dtype in BOUNDS:
        for case in CASES:
            yield run(case, dtype)


def main() -> int:
    """Run all of it; 0 if every case is within its bound."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        print("set TRITON_INTERPRET=1 before Python starts: without it Triton looks for a device", file=sys.stderr)
        return 2
    found = []
    for result in results():
        case, worst = result.case, max(result.errors.values())
        tiles = [
            tuple(launch.grid) for launch in launches(case.geometry, 1, case.height, case.width, "fp32", "forward")
        ]
        print(
            f"{'good' if result.passed else 'BAD '} {result.dtype[6:]:8} {case.batch} x {case.height}x{case.width} "
            f"{case.groups} grids {tiles}: {worst:.1e} of {result.bound:.0e}",
            flush=True,
        )
        found.append(result)
    summary = {
        "cases": len(found),
        "failed": [asdict(r) for r in found if not r.passed],
        "worst": {str(dtype): max(max(r.errors.values()) for r in found if r.dtype == str(dtype)) for dtype in BOUNDS},
    }
    print(json.dumps(summary))
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
