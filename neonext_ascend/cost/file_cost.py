"""What an ONNX file costs on a chip: its operators, their time, and images a second at each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from neonext_ascend.cost.counting import Operator, operators, total
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.timing import Estimate, Fit, estimate, find_fit
from neonext_ascend.errors import ArtifactError
from neonext_ascend.machine.chips import Soc

DEAREST = 10


@dataclass(frozen=True, slots=True)
class Timed:
    """An operator, its nodes in the file, and the share of the whole time that is estimated for it."""

    operator: Operator
    microseconds: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "name": self.operator.name,
            "kind": self.operator.work.kind,
            "what": self.operator.what,
            "nodes": list(self.operator.nodes),
            "microseconds": self.microseconds,
            "share": self.share,
        }


@dataclass(frozen=True, slots=True)
class FileCost:
    """Counts, and times where the chip has published figures.

    Attributes:
        batch: that the counts and the times of operators are of: the last one asked for.
        multiplications, cube: dense, and as the cube unit takes them.
        weights: bytes, in fp16.
        estimates: for each batch; empty where no time is told.
        operators: all, in the order of the graph.
        timed: the same with times; empty where no time is told.
        notes: what the figures rest on or why there are none.
    """

    batch: int
    multiplications: int
    cube: int
    weights: int
    estimates: tuple[Estimate, ...]
    operators: tuple[Operator, ...]
    timed: tuple[Timed, ...]
    notes: tuple[str, ...]

    @property
    def shares(self) -> Mapping[str, float]:
        """Of the estimated time, by kind of work, the largest first."""
        kinds: dict[str, float] = {}
        for one in self.timed:
            kinds[one.operator.work.kind] = kinds.get(one.operator.work.kind, 0.0) + one.share
        return dict(sorted(kinds.items(), key=lambda item: -item[1]))

    @property
    def dearest(self) -> list[Timed]:
        """The ten operators that are estimated to take longest."""
        return sorted(self.timed, key=lambda one: -one.microseconds)[:DEAREST]

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "batch": self.batch,
            "macs": {"dense": self.multiplications, "cube": self.cube},
            "weights_bytes": self.weights,
            "shares": dict(self.shares),
            "dearest": [one.to_json() for one in self.dearest],
            "notes": list(self.notes),
        }


def file_cost(model: ModelProto, soc: Soc, batches: Sequence[int]) -> FileCost:
    """Count a graph, and estimate it in fp16.

    Args:
        model: anybody's; weights may be left out.
        soc: the chip.
        batches: images at once; of a file whose batch is fixed its own is taken instead.

    Raises:
        ArtifactError: the graph cannot be followed.
    """
    fit = find_fit(soc.name)
    flows = [Flow(model, batch) for batch in batches]
    if not flows[-1].free:
        flows = flows[:1]
    counted = [operators(flow) for flow in flows]
    works = [[operator.work for operator in each] for each in counted]
    notes = _notes(flows[-1], counted[-1], soc, fit)
    estimates: list[Estimate] = []
    timed: tuple[Timed, ...] = ()
    if fit is not None and counted[-1]:
        for flow, each in zip(flows, works, strict=True):
            one, seconds = estimate(each, flow.batch, soc, fit)
            estimates.append(one)
        whole = flows[-1].batch / estimates[-1].images_per_second
        timed = tuple(
            Timed(operator, 1e6 * float(time), float(time) / whole)
            for operator, time in zip(counted[-1], seconds, strict=True)
        )
    return FileCost(
        batch=flows[-1].batch,
        multiplications=total(works[-1], "dense"),
        cube=total(works[-1], "cube"),
        weights=total(works[-1], "weights"),
        estimates=tuple(estimates),
        operators=tuple(counted[-1]),
        timed=timed,
        notes=tuple(notes),
    )


def no_cost(reason: str) -> FileCost:
    """Of a file that cannot be followed."""
    return FileCost(0, 0, 0, 0, (), (), (), (f"no estimate: {reason}",))


def cost_or_reason(model: ModelProto, soc: Soc, batches: Sequence[int]) -> FileCost:
    """As :func:`file_cost`; of a graph that cannot be followed the reason, as inspect tells what is wrong with it."""
    try:
        return file_cost(model, soc, batches)
    except ArtifactError as error:
        return no_cost(str(error))
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        # Nodes that ONNX's schemas refuse; the rules of inspect name them.
        return no_cost("a node is not as ONNX has it; see onnx.checker.check_model")


def _notes(flow: Flow, counted: Sequence[Operator], soc: Soc, fit: Fit | None) -> list[str]:
    notes = []
    if fit is None:
        notes.append(f"no time is told: there are no published figures for {soc.name} to fit on")
    else:
        errors = f"{fit.median_error:.2f} in the middle and {fit.ninth_decile_error:.2f} at the ninth decile"
        notes.append(
            f"an estimate in fp16, fitted on {fit.rows} published figures of {fit.models} networks; those that it had "
            f"not seen it missed by a factor of {errors}; nothing ran (docs/cost.md)"
        )
    if unknown := _unknown(counted):
        notes.append(f"not understood, counted by their bytes alone: {unknown}")
    if shapeless := sum(flow.tensors[name].shape is None for node in flow.nodes for name in node.outputs if name):
        notes.append(f"{shapeless} values whose shapes cannot be inferred count as nothing")
    return notes


def _unknown(counted: Sequence[Operator]) -> str:
    """Operators that no rule knows, with their number."""
    names = [operator.what for operator in counted if operator.work.kind == "unknown"]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
