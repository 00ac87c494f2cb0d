"""What one NeoCell costs in each lowering: multiplications, bytes moved, and an estimate of the time on a chip.

Three counts of multiplications: *useful* ones are those of the blocks alone, ``C (H' W h + H' W' w)``, which is
``2 C H W k`` for square cells (arXiv 2403.11251, equations 4 and 5); *dense* ones are those of the products as they
stand in the graph, zeros included; *cube* ones are what a cube unit does for them, each side of each product filled up
to 16 (hicann/runtime: 16 x 16 x 16 in fp16).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from math import prod
from typing import TypeVar

from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.kernels.lowerings import legal
from neonext_ascend.kernels.program import Crop, Lowered, Pad, Product, Transpose, filled, run
from neonext_ascend.kernels.shapes import Shape, ShapeMachine
from neonext_ascend.machine.chips import SOCS, Soc
from neonext_ascend.spec import Layout, LoweringName

FP16_BYTES = 2
TIE = 1.1  # the bandwidth is a press figure: estimates this near to the smallest are as good as it
STAND_IN = "Ascend310P3"  # whose balance of peak to bandwidth decides for chips without figures

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class MatMul:
    """``count`` products of ``(m, k) @ (k, n)``."""

    count: int
    m: int
    k: int
    n: int

    @property
    def dense(self) -> int:
        """Multiplications."""
        return self.count * self.m * self.k * self.n

    @property
    def cube(self) -> int:
        """Multiplications of a cube unit in fp16, which fills up each side."""
        return self.count * filled(self.m) * filled(self.k) * filled(self.n)


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiplications, and bytes read from and written to memory.

    Args:
        useful, dense, cube: multiplications, see the module.
        weights: bytes of constants, read once.
        activations: bytes of inputs, read once, and of outputs, written once.
        workspace: bytes of everything between, written once and read once.
    """

    useful: int = 0
    dense: int = 0
    cube: int = 0
    weights: int = 0
    activations: int = 0
    workspace: int = 0

    @property
    def bytes(self) -> int:
        """All that is moved."""
        return self.weights + self.activations + self.workspace

    @property
    def intensity(self) -> float:
        """Useful operations, two a multiplication, for each byte moved."""
        return 2 * self.useful / self.bytes

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    def __mul__(self, times: int) -> Cost:
        return Cost(*(times * getattr(self, f.name) for f in fields(Cost)))


def cell_cost(
    lowered: Lowered, geometry: Geometry, height: int, width: int, batch: int, itemsize: int = FP16_BYTES
) -> Cost:
    """One NeoCell without its bias.

    Args:
        lowered: its program.
        geometry: the groups.
        height, width: of the map in front of it, in pixels.
        batch: images.
        itemsize: bytes of an element.
    """
    counter, out = _counted(lowered, geometry, height, width, batch)
    size_in, size_out = batch * geometry.channels * height * width, prod(out)
    return Cost(
        useful=batch * useful_multiplications(geometry, height, width),
        dense=sum(product.dense for product in counter.products),
        cube=sum(product.cube for product in counter.products),
        weights=itemsize * sum(prod(matrix.shape) for matrix in lowered.matrices.values()),
        activations=itemsize * (size_in + size_out),
        workspace=itemsize * (counter.moved - size_in - size_out),
    )


def cell_products(lowered: Lowered, geometry: Geometry, height: int, width: int, batch: int) -> tuple[MatMul, ...]:
    """The products of one NeoCell in the order of its program; arguments as for :func:`cell_cost`."""
    counter, _ = _counted(lowered, geometry, height, width, batch)
    return tuple(counter.products)


def useful_multiplications(geometry: Geometry, height: int, width: int) -> int:
    """Of one image: left products give H' W sums of h terms, right ones H' W' sums of w terms."""
    h_out, w_out = geometry.output_size(height, width)
    return sum(g.channels * h_out * (width * g.cell.h_in + w_out * g.cell.w_in) for g in geometry.groups)


def estimate_us(cost: Cost, soc: Soc) -> float | None:
    """Microseconds by the roofline: the longer of computing at the peak and moving at the bandwidth.

    ``None`` where the chip's table lacks one of the two. Nothing of it has been measured on a device.
    """
    if soc.fp16_tflops is None or soc.bandwidth_gbs is None:
        return None
    return max(2 * cost.cube / soc.fp16_tflops / 1e6, cost.bytes / soc.bandwidth_gbs / 1e3)


def with_figures(soc: Soc) -> Soc:
    """The chip itself, or the one whose balance stands in where its peak or bandwidth is unknown."""
    return SOCS[STAND_IN] if soc.fp16_tflops is None or soc.bandwidth_gbs is None else soc


def least(estimates: Mapping[Name, float], cube: Mapping[Name, int]) -> Name:
    """The smallest estimate; among those within 10 % of it the fewest cube multiplications, then the first."""
    smallest = min(estimates.values())
    near = [name for name, estimate in estimates.items() if estimate <= TIE * smallest]
    return min(near, key=lambda name: cube[name])


@lru_cache(maxsize=256)
def cheapest(geometry: Geometry, height: int, width: int, batch: int, layout: Layout, soc: Soc | None) -> LoweringName:
    """The legal lowering that costs least on a chip in fp16, by :func:`least`; ``None`` for the CPU: block-diagonal.

    In chnw only lowerings whose every product has two or three axes: that is what the layout is for.

    Raises:
        GeometryError: the map is too small for the NeoCell.
    """
    if soc is None:
        return "blockdiag"
    costs = {
        name: cell_cost(lowered, geometry, height, width, batch)
        for name, lowered in legal(geometry, height, width, layout).items()
        if layout == "nchw" or all(len(matrix.shape) <= 3 for matrix in lowered.matrices.values())
    }
    chip = with_figures(soc)
    # The stand-in has both figures, so there is a time.
    estimates = {name: estimate_us(cost, chip) or 0.0 for name, cost in costs.items()}
    return least(estimates, {name: cost.cube for name, cost in costs.items()})


def _counted(lowered: Lowered, geometry: Geometry, height: int, width: int, batch: int) -> tuple[_Counter, Shape]:
    channels = geometry.channels
    shape = (batch, channels, height, width) if lowered.layout == "nchw" else (channels, height, batch, width)
    counter = _Counter({name: matrix.shape for name, matrix in lowered.matrices.items()}, [], [])
    return counter, run(lowered.steps, shape, counter)


@dataclass(frozen=True, slots=True)
class _Counter(ShapeMachine):
    """Notes the products, and how many elements each step reads and writes; a Reshape moves none."""

    products: list[MatMul]
    steps: list[int]

    @property
    def moved(self) -> int:
        """Elements read and written, constants apart."""
        return sum(self.steps)

    # A class with slots is made anew by its decorator, and super() without arguments would look for the first one.
    def transpose(self, x: Shape, step: Transpose) -> Shape:
        return self._moved(x, ShapeMachine.transpose(self, x, step))

    def product(self, x: Shape, step: Product) -> Shape:
        out = ShapeMachine.product(self, x, step)
        depth = self.constants[step.matrix][-1 if step.side == "left" else -2]
        self.products.append(MatMul(prod(out[:-2]), out[-2], depth, out[-1]))
        return self._moved(x, out)

    def pad(self, x: Shape, step: Pad) -> Shape:
        return self._moved(x, ShapeMachine.pad(self, x, step))

    def crop(self, x: Shape, step: Crop) -> Shape:
        out = ShapeMachine.crop(self, x, step)
        return self._moved(out, out)  # what is cut away is not read

    def join(self, parts: list[Shape], axis: int) -> Shape:
        out = ShapeMachine.join(self, parts, axis)
        return self._moved(out, out)

    def _moved(self, x: Shape, out: Shape) -> Shape:
        self.steps.append(prod(x) + prod(out))
        return out
