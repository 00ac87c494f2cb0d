"""A network as a list of operators with the cost of each; each reads its inputs and writes its result once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neonext_ascend.cost.cell import Cost, MatMul, estimate_us
from neonext_ascend.machine.chips import Soc


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Args:
        part: of the network.
        what: its kind.
        cost: of running it once.
        products: matrix products in it.
        times: how often the network runs one like it.
    """

    part: str
    what: str
    cost: Cost
    products: tuple[MatMul, ...] = ()
    times: int = 1


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """All operators of a network for one batch, one after the other."""

    operators: tuple[Operator, ...]
    batch: int

    @property
    def total(self) -> Cost:
        """Of all operators."""
        return sum((operator.cost * operator.times for operator in self.operators), Cost())

    @property
    def parts(self) -> dict[str, Cost]:
        """The same for each part of the network, in its order."""
        costs: dict[str, Cost] = {}
        for operator in self.operators:
            costs[operator.part] = costs.get(operator.part, Cost()) + operator.cost * operator.times
        return costs

    def estimate_us(self, soc: Soc) -> float | None:
        """Microseconds of one batch: each operator by the roofline, and their sum; ``None`` without the figures."""
        times = [(estimate_us(operator.cost, soc), operator.times) for operator in self.operators]
        known = [estimate * often for estimate, often in times if estimate is not None]
        return sum(known) if len(known) == len(times) else None

    def images_per_second(self, soc: Soc) -> float | None:
        """What follows from that estimate."""
        estimate = self.estimate_us(soc)
        return None if estimate is None else 1e6 * self.batch / estimate


def product(
    part: str,
    what: str,
    products: Sequence[MatMul],
    elements: tuple[int, int, int],
    itemsize: int,
    times: int = 1,
) -> Operator:
    """A convolution or matrix product with its bias; ``elements`` are those of constants, inputs and outputs."""
    dense = sum(p.dense for p in products)
    constants, inputs, outputs = elements
    cost = Cost(
        useful=dense,
        dense=dense,
        cube=sum(p.cube for p in products),
        weights=itemsize * constants,
        activations=itemsize * (inputs + outputs),
    )
    return Operator(part, what, cost, tuple(products), times)


def mover(part: str, what: str, elements: int, itemsize: int, times: int = 1, weights: int = 0) -> Operator:
    """An operator without products, known by the elements that it reads and writes, those of constants apart."""
    return Operator(part, what, Cost(weights=itemsize * weights, activations=itemsize * elements), times=times)
