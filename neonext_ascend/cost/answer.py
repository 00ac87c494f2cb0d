"""What a file costs on a chip: its operators with their times, its speed, its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neonext_ascend.cost.advice import Advice
from neonext_ascend.cost.counting import Operator, total
from neonext_ascend.cost.int8.gain import Int8Gain
from neonext_ascend.cost.liveness import Need
from neonext_ascend.cost.reasons import REASONS, reason_of
from neonext_ascend.cost.timing import Estimate

DEAREST = 10
# What a run takes before its first operator, beside the kinds of work.
START = "start"


@dataclass(frozen=True, slots=True)
class Timed:
    """An operator of a file.

    Attributes:
        operator: with its nodes and its work.
        in_l2: whether what it reads and what it writes each fit in the part of L2 that the estimate takes for them.
        microseconds, share: of the whole time; 0 where no time is told.
        useful: multiplications by constants that are not zero; ``None`` where that was not looked at.
    """

    operator: Operator
    in_l2: bool
    microseconds: float = 0.0
    share: float = 0.0
    useful: int | None = None

    def to_json(self) -> dict[str, Any]:
        """By name; bytes and multiplications are exact."""
        work = self.operator.work
        return {
            "name": self.operator.name,
            "kind": work.kind,
            "what": self.operator.what,
            "nodes": list(self.operator.nodes),
            "rule": reason_of(self.operator).rule,
            "macs": {
                "useful": work.dense if self.useful is None else self.useful,
                "dense": work.dense,
                "cube": work.cube,
            },
            "int8": work.int8,
            "elements": work.elements,
            "bytes": {"weights": work.weights, "read": work.read, "written": work.written},
            "in_l2": self.in_l2,
            "microseconds": self.microseconds or None,
            "share": self.share if self.microseconds else None,
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """What the file needs at a batch: on the chip, and node by node as it stands.

    Attributes:
        fits: in the memory that was asked about; ``None`` where none was.
    """

    batch: int
    chip: Need
    file: Need
    fits: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"batch": self.batch, **self.chip.to_json(), "fits": self.fits, "by_node": self.file.to_json()}


@dataclass(frozen=True, slots=True)
class FileCost:
    """Counts, and times where the chip has published figures.

    Attributes:
        batch: that the counts and the times of operators are of: the last one asked for.
        listing: all operators, in the order of the graph.
        free: nodes that are no operator: their names, by their ONNX operator.
        estimates: for each batch; empty where no time is told.
        ladder: of a free batch: the same for each power of two up to 64.
        memory: for each batch.
        room: bytes that were asked about; ``None`` where none were.
        largest_batch: that fits in them; ``None`` of a fixed batch.
        advice: what would make it faster.
        int8: for each batch what int8 brings; empty where no int8 figure is of the chip.
        notes: what the figures rest on or why there are none.
    """

    batch: int = 0
    listing: tuple[Timed, ...] = ()
    free: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    estimates: tuple[Estimate, ...] = ()
    ladder: tuple[Estimate, ...] = ()
    memory: tuple[Memory, ...] = ()
    room: int | None = None
    largest_batch: int | None = None
    advice: tuple[Advice, ...] = ()
    int8: tuple[Int8Gain, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def timed(self) -> tuple[Timed, ...]:
        """The same; empty where no time is told."""
        return self.listing if self.estimates else ()

    @property
    def microseconds(self) -> float:
        """Of all operators together; 0 where no time is told."""
        return sum(one.microseconds for one in self.timed)

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Without their times."""
        return tuple(one.operator for one in self.listing)

    @property
    def free_names(self) -> list[str]:
        """Of nodes that are no operator."""
        return [name for names in self.free.values() for name in names]

    @property
    def multiplications(self) -> int:
        """Dense: zeros included."""
        return total((operator.work for operator in self.operators), "dense")

    @property
    def useful(self) -> int:
        """Multiplications by constants that are not zero, as far as that was looked at; all others."""
        return sum(one.operator.work.dense if one.useful is None else one.useful for one in self.listing)

    @property
    def cube(self) -> int:
        """Multiplications as the cube unit takes them."""
        return total((operator.work for operator in self.operators), "cube")

    @property
    def weights(self) -> int:
        """Bytes of constants in fp16, each as often as it is read."""
        return total((operator.work for operator in self.operators), "weights")

    @property
    def shares(self) -> Mapping[str, float]:
        """Of the estimated time, by kind of work and the start of a run, the largest first; empty without times."""
        kinds: dict[str, float] = {}
        for one in self.timed:
            kinds[one.operator.work.kind] = kinds.get(one.operator.work.kind, 0.0) + one.share
        if kinds:
            kinds[START] = 1 - sum(kinds.values())
        return dict(sorted(kinds.items(), key=lambda item: -item[1]))

    @property
    def dearest(self) -> list[Timed]:
        """The ten operators that are estimated to take longest; none where no time is told."""
        return sorted(self.timed, key=lambda one: -one.microseconds)[:DEAREST]

    def to_json(self) -> dict[str, Any]:
        """By name."""
        told = {reason_of(operator).rule for operator in self.operators}
        return {
            "batch": self.batch,
            "macs": {"useful": self.useful, "dense": self.multiplications, "cube": self.cube},
            "weights_bytes": self.weights,
            "shares": dict(self.shares),
            "dearest": [one.to_json() for one in self.dearest],
            "operators": [one.to_json() for one in self.listing],
            "free": {op: list(names) for op, names in self.free.items()},
            "rules": {
                reason.rule: {"words": reason.words, "source": reason.source}
                for reason in REASONS.values()
                if reason.rule in told
            },
            "ladder": [estimate.to_json() for estimate in self.ladder],
            "memory": {
                "room_bytes": self.room,
                "largest_batch": self.largest_batch,
                "batches": [memory.to_json() for memory in self.memory],
            },
            "advice": [advice.to_json() for advice in self.advice],
            "int8": [gain.to_json() for gain in self.int8],
            "notes": list(self.notes),
        }
