"""Memory of a graph: its weights, and the largest sum of activations that live at once while it runs in order.

A value lives from the operator that makes it to the last one that reads it; what the graph gives lives to the end, its
inputs live from the start. Values that are the same numbers under another shape share one store, as large as the
largest of them. Nothing else is written in place, and no operator's own workspace is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from neonext_ascend.cost.flow import Flow, Node
from neonext_ascend.cost.groups import grouped
from neonext_ascend.cost.int8.values import FP16_BYTES, Values
from neonext_ascend.cost.layouts import maps_in_blocks

# Another shape of the same numbers, in every runtime.
SHARING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
Size = Callable[[str], int]
_INT64 = 8  # bytes


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a graph needs.

    Attributes:
        weights: held from start to end.
        activations: at their peak.
        at: the operator that ran then.
    """

    weights: int
    activations: int
    at: str

    @property
    def total(self) -> int:
        """Both."""
        return self.weights + self.activations

    def to_json(self) -> dict[str, int | str]:
        """By name."""
        return {"weights_bytes": self.weights, "activations_bytes": self.activations, "peak_at": self.at}


@dataclass(frozen=True, slots=True)
class _Step:
    """What runs at once; ``shares`` are pairs of values in one store."""

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    shares: tuple[tuple[str, str], ...] = ()


def chip_need(flow: Flow, int8: Collection[str] = ()) -> Need:
    """On the chip: an operator a group, real numbers in fp16, maps filled up to blocks of channels.

    What lies between the nodes of a group is never written; what is free shares its input's store, and the parts of a
    Concat that is written in place share the whole's. What products in int8 read is of one byte, their constants too.

    Args:
        flow: in floating point.
        int8: results of the products that are in int8.
    """
    groups = grouped(flow)
    values = Values(flow, groups, maps_in_blocks(flow, groups), int8)
    copies: dict[str, str] = {}

    def size(name: str) -> int:
        if name in copies:
            return values.in_int8(copies[name])
        return values.held(name) if flow.tensors[name].floating else flow.tensors[name].size * flow.tensors[name].width

    steps = []
    for group in groups:
        for name, products in values.quantised(group):
            copies[f"{name} in int8"] = name
            steps.append(_Step(products[0], (name,), (f"{name} in int8",)))
        loose = [name for node in group.nodes for name in node.outputs if name and name not in flow.readers]
        makes = tuple(dict.fromkeys([*group.writes, *loose]))
        shares: list[tuple[str, str]] = []
        if group.kind == "free" and makes:
            # A Cast to numbers of another width is new.
            shares = [(makes[0], name) for name in group.reads if _width(flow, name) == _width(flow, makes[0])]
        own = [f"{group.heart.inputs[0]} in int8"] if values.is_int8(group) else []
        steps.append(_Step(group.name, (*group.reads, *own), makes, tuple(shares)))
    narrow = {group.heart.inputs[1] for group in groups if values.is_int8(group)}

    def weight(name: str) -> int:
        return flow.tensors[name].size * (1 if name in narrow else _width(flow, name))

    return _need(flow, steps, size, _weights(flow, weight))


def file_need(flow: Flow) -> Need:
    """Node by node as the file stands, in its own dtypes; the outputs of :data:`SHARING` share their input's store."""

    def size(name: str) -> int:
        return flow.tensors[name].size * flow.tensors[name].width

    steps = []
    for node in flow.nodes:
        makes = tuple(name for name in node.outputs if name)
        shared = node.standard and node.op in SHARING and bool(makes) and bool(node.inputs)
        steps.append(_Step(node.name, _read(flow, node), makes, ((makes[0], node.inputs[0]),) if shared else ()))
    return _need(flow, steps, size, _weights(flow, size))


def _read(flow: Flow, node: Node) -> tuple[str, ...]:
    return tuple(flow.variables(node))


def _width(flow: Flow, name: str) -> int:
    return FP16_BYTES if flow.tensors[name].floating else flow.tensors[name].width


def _weights(flow: Flow, size: Size) -> int:
    """Of every constant of more than one number that a node reads, once; integers of 64 bits are shapes and axes."""
    read = {name for node in flow.nodes for name in flow.constants(node) if prod(flow.shape(name)) > 1}
    return sum(size(name) for name in read if flow.tensors[name].floating or flow.tensors[name].width < _INT64)


def _need(flow: Flow, steps: Sequence[_Step], size: Size, weights: int) -> Need:
    stores = _Stores()
    spans: dict[str, tuple[int, int]] = dict.fromkeys(flow.inputs, (0, 0))
    for number, step in enumerate(steps):
        for made, source in step.shares:
            stores.join(made, source)
        for name in step.makes:
            spans[name] = (number, number)
        for name in step.reads:
            if name in spans:
                spans[name] = (spans[name][0], number)
    last = max(len(steps) - 1, 0)
    for name in flow.outputs:
        if name in spans:
            spans[name] = (spans[name][0], last)
    changes = [0] * (last + 2)
    for members in stores.of(spans):
        largest = max(size(name) for name in members)
        changes[min(spans[name][0] for name in members)] += largest
        changes[max(spans[name][1] for name in members) + 1] -= largest
    held = list(accumulate(changes))
    peak = max(held)
    return Need(weights, peak, steps[held.index(peak)].name if steps else "")


class _Stores:
    """Which values lie in one place."""

    def __init__(self) -> None:
        self._within: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        """Put both in one."""
        self._within[self._root(one)] = self._root(other)

    def of(self, names: Iterable[str]) -> Iterable[list[str]]:
        """These values, those of one store together."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self._root(name), []).append(name)
        return found.values()

    def _root(self, name: str) -> str:
        while (within := self._within.get(name, name)) != name:
            name = within
        return name
