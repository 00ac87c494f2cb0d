"""A model's forms as the rows of two tables: one NeoCell of each stage, and the whole network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neonext_ascend.cost.answer import FileCost
from neonext_ascend.cost.choice import GraphForm
from neonext_ascend.cost.counting import total
from neonext_ascend.cost.timing import Estimate
from neonext_ascend.spec import Layout


@dataclass(frozen=True, slots=True)
class FormRow:
    """What one graph costs in one form.

    Attributes:
        batch, layout: of the graph.
        chosen: whether it is what the export takes.
        useful: multiplications of the cells' blocks and of all other products, zeros left out.
        cost: of the graph.
    """

    batch: int
    layout: Layout
    chosen: bool
    useful: int
    cost: FileCost

    @property
    def bytes(self) -> int:
        """Of constants, and of what each operator reads and writes."""
        works = [operator.work for operator in self.cost.operators]
        return sum(total(works, name) for name in ("weights", "read", "written"))

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "batch": self.batch,
            "layout": self.layout,
            "chosen": self.chosen,
            "macs": {"useful": self.useful, "dense": self.cost.multiplications, "cube": self.cost.cube},
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class StageRow(FormRow):
    """One NeoCell of a stage; ``stage`` counts from 1, ``blocks`` are the stage's.

    Attributes:
        activations: bytes of its input, read once, and of its output, written once.
        blockdiag_dense: multiplications of the block-diagonal form, to compare the cube's with.
    """

    stage: int
    blocks: int
    lowering: str
    activations: int
    blockdiag_dense: int

    @property
    def intensity(self) -> float:
        """Useful operations, two a multiplication, for each byte moved."""
        return 2 * self.useful / self.bytes

    @property
    def estimate_us(self) -> float | None:
        """Microseconds of its operators; ``None`` where no time is told."""
        return self.cost.microseconds if self.cost.timed else None

    def to_json(self) -> dict[str, Any]:
        """By name."""
        between = self.bytes - self.cost.weights - self.activations
        return {
            "stage": self.stage,
            "blocks": self.blocks,
            "lowering": self.lowering,
            **FormRow.to_json(self),
            "bytes_by": {"weights": self.cost.weights, "activations": self.activations, "workspace": between},
            "intensity": self.intensity,
            "estimate_us": self.estimate_us,
        }


@dataclass(frozen=True, slots=True)
class NetworkRow(FormRow):
    """The whole network in a form, with the reason where it was chosen."""

    form: GraphForm

    @property
    def estimate(self) -> Estimate | None:
        """Of its speed; ``None`` where no time is told."""
        return next(iter(self.cost.estimates), None)

    def to_json(self) -> dict[str, Any]:
        """By name; times are ``null`` where none is told."""
        told = self.estimate
        return {
            **FormRow.to_json(self),
            "estimate_us": None if told is None else 1e6 * told.batch / told.images_per_second,
            **{name: getattr(told, name, None) for name in ("images_per_second", "low", "high", "coverage")},
        }
