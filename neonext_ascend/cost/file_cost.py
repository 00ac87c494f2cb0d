"""What an ONNX file costs on a chip: its operators, their time, images a second at each batch, and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnx import ModelProto

from neonext_ascend.cost.advice import advise
from neonext_ascend.cost.answer import FileCost, Memory, Timed
from neonext_ascend.cost.counting import Operator, operators
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.groups import grouped
from neonext_ascend.cost.int8.gain import int8_gain, int8_note
from neonext_ascend.cost.int8.plain import can_be_int8, plain_model
from neonext_ascend.cost.liveness import chip_need, file_need
from neonext_ascend.cost.room import largest_batch
from neonext_ascend.cost.timing import Estimate, Fit, estimate, find_fit, find_int8_fit
from neonext_ascend.errors import ArtifactError
from neonext_ascend.errors import counted as counted_words
from neonext_ascend.machine.chips import Soc

LADDER = tuple(2**power for power in range(7))
_MOST = 10**24  # of anything that an operator may do; a chip would take months


def file_cost(model: ModelProto, soc: Soc, batches: Sequence[int]) -> FileCost:
    """Count a graph, and estimate it in fp16, a quantised one in int8 where it is.

    Args:
        model: anybody's; weights may be left out.
        soc: the chip.
        batches: images at once; of a file whose batch is fixed its own is taken instead.

    Raises:
        ArtifactError: the graph cannot be followed.
    """
    return _costed(_Graphs(model), soc, batches)


def _costed(graphs: _Graphs, soc: Soc, batches: Sequence[int]) -> FileCost:
    fit, bound = graphs.fit(soc), graphs.bound(batches)
    last, counted = bound[-1]
    listing = [Timed(operator, _in_l2(operator, soc, fit)) for operator in counted]
    estimates: list[Estimate] = []
    if fit is not None and counted:
        for flow, each in bound:
            one, seconds = estimate([operator.work for operator in each], flow.batch, soc, fit)
            estimates.append(one)
        whole = last.batch / estimates[-1].images_per_second
        listing = [
            replace(one, microseconds=1e6 * float(time), share=float(time) / whole)
            for one, time in zip(listing, seconds, strict=True)
        ]
    return FileCost(
        batch=last.batch,
        listing=tuple(listing),
        free=_free(last),
        estimates=tuple(estimates),
        notes=tuple(_notes(last, counted, soc, fit, len(graphs.int8))),
    )


def _with_prospects(cost: FileCost, graphs: _Graphs, soc: Soc, batches: Sequence[int], room: int | None) -> FileCost:
    """The same with memory, other batches and advice."""
    fit, bound = graphs.fit(soc), graphs.bound(batches)
    ladder, largest = [], None
    if room is not None and bound[-1][0].free:
        largest = largest_batch(lambda batch: chip_need(graphs.at(batch)[0], graphs.int8).total, room)
    if fit is not None and cost.estimates and bound[-1][0].free:
        steps = [graphs.at(batch) for batch in LADDER]
        ladder = [estimate([one.work for one in each], flow.batch, soc, fit)[0] for flow, each in steps]
    memory = tuple(_memory(flow, graphs, room) for flow, _ in bound)
    gains = [int8_gain(flow, graphs.int8 or can_be_int8(flow), soc, made=bool(graphs.int8)) for flow, _ in bound]
    cost = replace(cost, memory=memory, room=room, largest_batch=largest, ladder=tuple(ladder))
    cost = replace(cost, int8=tuple(gain for gain in gains if gain is not None))
    return cost if fit is None or not cost.estimates else replace(cost, advice=advise(cost, soc, fit))


class _Graphs:
    """A model with its batch bound, each batch followed and counted once.

    Attributes:
        int8: results of the products that are in int8 in the file.
    """

    def __init__(self, model: ModelProto) -> None:
        self._file, self._at = model, dict[int, tuple[Flow, list[Operator]]]()
        self._model, self.int8 = plain_model(model)

    def fit(self, soc: Soc) -> Fit | None:
        """What its times rest on."""
        return find_int8_fit(soc.name) if self.int8 else find_fit(soc.name)

    def as_it_stands(self, flow: Flow) -> Flow:
        """The file's own nodes at the same batch."""
        return Flow(self._file, flow.batch) if self._file is not self._model else flow

    def at(self, batch: int) -> tuple[Flow, list[Operator]]:
        """At this batch, or at the file's own."""
        if batch not in self._at:
            flow = Flow(self._model, batch)
            counted = operators(flow, self.int8)
            for work in (operator.work for operator in counted):
                # A damaged group or window makes numbers of which no time follows.
                if not all(0 <= count < _MOST for count in (work.cube, work.elements, work.read, work.written)):
                    raise ValueError(f"{work.kind}: counts that cannot be")
            self._at[batch] = flow, counted
        return self._at[batch]

    def bound(self, batches: Sequence[int]) -> list[tuple[Flow, list[Operator]]]:
        """At each batch; one where the batch is fixed."""
        last = self.at(batches[-1])
        return [self.at(batch) for batch in batches] if last[0].free else [last]


def no_cost(reason: str) -> FileCost:
    """Of a file that cannot be followed."""
    return FileCost(notes=(f"no estimate: {reason}",))


def cost_or_reason(model: ModelProto, soc: Soc, batches: Sequence[int], room: int | None = None) -> FileCost:
    """All that is told of a file; of a graph that cannot be followed the reason, as inspect tells what is wrong.

    Args:
        model, soc, batches: as of :func:`file_cost`.
        room: bytes of the card's memory: does it fit, and at which largest batch.
    """
    try:
        graphs = _Graphs(model)
        return _with_prospects(_costed(graphs, soc, batches), graphs, soc, batches, room)
    except ArtifactError as error:
        return no_cost(str(error))
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        # Nodes that ONNX's schemas refuse; the rules of inspect name them.
        return no_cost("a node is not as ONNX has it; see onnx.checker.check_model")


def _free(flow: Flow) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for node in (node for group in grouped(flow) if group.kind == "free" for node in group.nodes):
        names[node.op] = (*names.get(node.op, ()), node.name)
    return names


def _memory(flow: Flow, graphs: _Graphs, room: int | None) -> Memory:
    need = chip_need(flow, graphs.int8)
    return Memory(flow.batch, need, file_need(graphs.as_it_stands(flow)), None if room is None else need.total <= room)


def _in_l2(operator: Operator, soc: Soc, fit: Fit | None) -> bool:
    """By the fitted size; on a chip without a fit by the whole of its L2."""
    whole = 2**20 * (soc.l2_mib or 0)
    size = whole if fit is None else fit.parameters.get("l2_bytes", whole)
    return max(operator.work.read, operator.work.written) <= size


def _notes(flow: Flow, counted: Sequence[Operator], soc: Soc, fit: Fit | None, int8: int) -> list[str]:
    notes = []
    if fit is None:
        kind = "int8 figures" if int8 and find_fit(soc.name) is not None else "figures"
        notes.append(f"no time is told: there are no published {kind} for {soc.name} to fit on")
    else:
        where = f"with {counted_words(int8, 'product')} in int8" if int8 else "in fp16"
        notes.append(f"an estimate {where}, {fit.words}; nothing ran (docs/cost.md)")
        notes += [] if int8 else [int8_note(soc)]
    if unknown := _unknown(counted):
        notes.append(f"not understood, counted by their bytes alone: {unknown}")
    if shapeless := sum(flow.tensors[name].shape is None for node in flow.nodes for name in node.outputs if name):
        notes.append(f"{counted_words(shapeless, 'value')} of a shape that cannot be inferred, counted as nothing")
    return notes


def _unknown(counted: Sequence[Operator]) -> str:
    """Operators that no rule knows, with their number."""
    names = [operator.what for operator in counted if operator.work.kind == "unknown"]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
