"""Measured operators of an OM held against the estimated ones of the file it was made of.

A compiler names an operator after the node it came from, or after all the nodes that it made one of, one behind the
other (``Div_331Mul_333Add_335``); before that may stand ``PartitionedCall_``, behind it an operator and a number
(``_Conv2D_32``), as names in the vendor's public tests do. What has no such name is joined by its type and place where
there are as many of it here as there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Any

from neonext_ascend.cost.answer import FileCost, Timed
from neonext_ascend.cost.measured import Measured
from neonext_ascend.cost.rules import Kind
from neonext_ascend.errors import ArtifactError, counted

# The vendor's operator for ONNX's, as its open parser (hicann/ge, August 2026) made them of exports of this program.
TYPES: Mapping[str, str] = {
    "BatchMatMulV2": "MatMul",
    "ConcatD": "Concat",
    "Conv2D": "Conv",
    "GeluV2": "GELU",
    "MatMulV2": "Gemm",
    "PadV3": "Pad",
    "RealDiv": "Div",
    "StridedSliceV2": "Slice",
}
_LONGEST = 4096  # characters of a name that is looked into
_PREFIX, _SUFFIX = "PartitionedCall_", re.compile(r"_[A-Za-z][A-Za-z0-9]*_\d+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Measured and estimated, for the same nodes: an operator each, or several that one side has as one."""

    estimated: tuple[Timed, ...]
    measured: tuple[Measured, ...]

    @property
    def dearest(self) -> Timed:
        """Of the estimated; it names the pair."""
        return max(self.estimated, key=lambda one: one.microseconds)

    @property
    def kind(self) -> Kind:
        """Of the dearest."""
        return self.dearest.operator.work.kind

    @property
    def estimate(self) -> float:
        """Microseconds."""
        return sum(one.microseconds for one in self.estimated)

    @property
    def measurement(self) -> float:
        """Microseconds."""
        return sum(one.microseconds for one in self.measured)

    @property
    def error(self) -> float:
        """The factor between the two, at least 1."""
        return exp(abs(log(self.measurement / self.estimate)))

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "name": self.dearest.operator.name,
            "kind": self.kind,
            "operators": [one.operator.name for one in self.estimated],
            "measured": [one.name for one in self.measured],
            "measured_us": self.measurement,
            "estimated_us": self.estimate,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class KindError:
    """Of all pairs of a kind: their times, and the error factor in the middle."""

    kind: Kind
    pairs: int
    measured: float
    estimated: float
    median_error: float

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "kind": self.kind,
            "pairs": self.pairs,
            "measured_us": self.measured,
            "estimated_us": self.estimated,
            "median_error": self.median_error,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was joined, and what was not on either side."""

    pairs: tuple[Pair, ...]
    only_measured: tuple[Measured, ...]
    only_estimated: tuple[Timed, ...]

    @property
    def kinds(self) -> list[KindError]:
        """The dearest measured first."""
        by_kind: dict[Kind, list[Pair]] = {}
        for pair in self.pairs:
            by_kind.setdefault(pair.kind, []).append(pair)
        found = [
            KindError(
                kind,
                len(pairs),
                sum(pair.measurement for pair in pairs),
                sum(pair.estimate for pair in pairs),
                median(pair.error for pair in pairs),
            )
            for kind, pairs in by_kind.items()
        ]
        return sorted(found, key=lambda one: -one.measured)

    @property
    def dearest(self) -> list[Pair]:
        """The dearest measured first."""
        return sorted(self.pairs, key=lambda pair: -pair.measurement)

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "pairs": [pair.to_json() for pair in self.dearest],
            "kinds": [kind.to_json() for kind in self.kinds],
            "only_measured": [
                {"name": one.name, "type": one.type, "measured_us": one.microseconds} for one in self.only_measured
            ],
            "only_estimated": [one.operator.name for one in self.only_estimated],
        }


def compare(cost: FileCost, measured: Sequence[Measured]) -> Comparison:
    """Join both sides.

    Raises:
        ArtifactError: nothing of them is the same.
    """
    places = {name: place for place, one in enumerate(cost.timed) for name in one.operator.nodes}
    names = _Names([*places, *cost.free_names])
    found = [{places[name] for name in names.within(one.name) or () if name in places} for one in measured]
    _join_by_type(cost.timed, measured, found, names)
    pairs = [
        Pair(tuple(cost.timed[place] for place in sorted(ours)), tuple(measured[row] for row in theirs))
        for ours, theirs in _components(found)
    ]
    if not pairs:
        raise ArtifactError(
            f"none of its {counted(len(measured), 'operator')} is a node of the file; "
            "was it measured on an OM of this file?"
        )
    taken = set().union(*found)
    return Comparison(
        tuple(pairs),
        tuple(one for one, ours in zip(measured, found, strict=True) if not ours),
        tuple(one for place, one in enumerate(cost.timed) if place not in taken),
    )


def _join_by_type(timed: Sequence[Timed], measured: Sequence[Measured], found: list[set[int]], names: _Names) -> None:
    """In order, where as many are left of a type here as there."""
    taken = set().union(*found)
    ours: dict[str, list[int]] = {}
    for place, one in enumerate(timed):
        if place not in taken:
            ours.setdefault(one.operator.what, []).append(place)
    theirs: dict[str, list[int]] = {}
    for row, other in enumerate(measured):
        if not found[row] and other.type and names.within(other.name) is None:
            theirs.setdefault(TYPES.get(other.type, other.type), []).append(row)
    for what, rows in theirs.items():
        if len(rows) == len(ours.get(what, ())):
            for row, place in zip(rows, ours[what], strict=True):
                found[row] = {place}


def _components(found: Sequence[set[int]]) -> list[tuple[set[int], list[int]]]:
    """Operators here and rows there that belong together: a row may cover several, and several rows one."""
    parts: list[tuple[set[int], list[int]]] = []
    for row, ours in enumerate(found):
        if ours:
            apart = [part for part in parts if part[0].isdisjoint(ours)]
            joined = [part for part in parts if not part[0].isdisjoint(ours)]
            whole = ours.union(*(part[0] for part in joined))
            parts = [*apart, (whole, sorted([row, *(one for part in joined for one in part[1])]))]
    return parts


class _Names:
    """Names of nodes, looked for in what a compiler made of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name for name in names if name}
        self._lengths = sorted({len(name) for name in self._names}, reverse=True)

    def within(self, text: str) -> list[str] | None:
        """The nodes that a name is made of, as few as can be; ``None`` where it is made of others."""
        if text in self._names or len(text) > _LONGEST:
            return [text] if text in self._names else None
        text = text.removeprefix(_PREFIX)
        ways: dict[int, list[str]] = {0: []}  # length of the beginning: the names that make it
        for start in range(len(text)):
            if start in ways:
                for length in self._lengths:
                    name, end = text[start : start + length], start + length
                    if name in self._names and len(ways.get(end, text)) > len(ways[start]) + 1:
                        ways[end] = [*ways[start], name]
        ends = [end for end in ways if end and (end == len(text) or _SUFFIX.fullmatch(text, end))]
        return ways[max(ends)] if ends else None
