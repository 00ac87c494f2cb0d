"""How long operators take on a chip: few parameters, fitted on published figures (docs/cost.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.cost.counting import Work
from neonext_ascend.cost.rules import Kind
from neonext_ascend.machine.chips import Soc

Floats = NDArray[np.float64]
Parameters = Mapping[str, float]

# How a kind's work is turned into time: a share of the cube's peak, seconds an element, or seconds a byte.
EFFICIENCY: tuple[Kind, ...] = ("conv", "pointwise", "depthwise", "grouped", "matmul", "attention")
RATE: tuple[Kind, ...] = ("elementwise", "function", "gelu", "norm", "softmax", "reduce", "pool")
PASS: tuple[Kind, ...] = ("transpose", "copy")
_AS: Mapping[Kind, Kind] = {"unknown": "copy", "quantise": "elementwise"}
# Nothing to compute that would hide the moving: one comes after the other.
_IN_TURN = ("transpose", "copy", "reduce", "pool")
_COUNTS = ("dense", "cube", "elements", "functions", "read", "written", "weights", "ragged", "lines", "int8")


@dataclass(frozen=True, slots=True)
class Table:
    """The work of many operators, a column a count."""

    kinds: NDArray[np.str_]
    counts: Mapping[str, Floats]

    @classmethod
    def of(cls, works: Sequence[Work]) -> Table:
        """In their order."""
        kinds = np.array([_AS.get(work.kind, work.kind) for work in works], dtype="U11")
        return cls(kinds, {name: np.array([getattr(work, name) for work in works], float) for name in _COUNTS})


def seconds(table: Table, parameters: Parameters, peak: float) -> Floats:
    """Of each operator: a launch, and computing and moving, of which the longer counts most.

    Args:
        table: the work.
        parameters: by name, see docs/cost.md.
        peak: multiplications a second of the cube unit in fp16.
    """
    share, rate, passing = np.ones(len(table.kinds)), np.zeros(len(table.kinds)), np.zeros(len(table.kinds))
    for column, kinds, prefix in ((share, EFFICIENCY, "share"), (rate, RATE, "rate"), (passing, PASS, "pass")):
        for kind in kinds:
            column[table.kinds == kind] = parameters[f"{prefix}_{kind}"]
    counts, of_bytes = table.counts, np.ones(len(table.kinds))
    if counts["int8"].any():
        share[counts["int8"] > 0] *= parameters["int8_cube"]
        of_bytes[counts["int8"] > 0] = parameters["int8_moving"]
    computing = (
        counts["cube"] / (peak * share) + counts["elements"] * rate + counts["functions"] * parameters["rate_epilogue"]
    )
    computing += (counts["read"] + counts["written"]) * passing
    # What fits in L2 of all that an operator touches moves at L2's pace, the rest at the memory's.
    touched = counts["read"] + counts["written"] + counts["weights"]
    cached = 1 / (1 + (touched / parameters["l2_bytes"]) ** 2)
    pace = cached / parameters["l2_bandwidth"] + (1 - cached) / parameters["bandwidth"]
    moving = of_bytes * (counts["read"] + parameters["write"] * counts["written"]) * pace
    moving += counts["weights"] / parameters["bandwidth"]
    sharp = parameters["sharpness"]
    longer = (computing**sharp + moving**sharp) ** (1 / sharp)
    both = np.where(np.isin(table.kinds, _IN_TURN), computing + moving, longer)
    again = counts["ragged"] * parameters["pass_ragged"] + 2 * counts["lines"] * parameters["pass_lines"] * pace
    return np.asarray(parameters["operator"] + both + again)


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted for one chip.

    Attributes:
        soc: its name.
        parameters: by name.
        low, high: factors on images a second between which ``coverage`` of the figures lay, of networks that were left
            out of the fit.
        coverage: of the interval.
        median_error, ninth_decile_error: factors by which the speed of such networks was missed.
        models, rows: of the fit, or that a transferred one was held against.
        transferred_from: the chip whose fit was scaled by platform figures; ``None`` of a chip with its own.
    """

    soc: str
    parameters: Parameters
    low: float
    high: float
    coverage: float
    median_error: float
    ninth_decile_error: float
    models: int
    rows: int
    transferred_from: str | None = None

    @property
    def words(self) -> str:
        """What an estimate rests on, and how far off it was."""
        errors = f"{self.median_error:.2f} in the middle and {self.ninth_decile_error:.2f} at the ninth decile"
        if self.transferred_from is not None:
            networks = "one network" if self.models == 1 else f"{self.models} networks"
            return (
                f"transferred from {self.transferred_from} by platform figures, held against {self.rows} published "
                f"figures of {networks}, which it missed by a factor of {errors}"
            )
        return (
            f"fitted on {self.rows} published figures of {self.models} networks; those that it had not seen it missed "
            f"by a factor of {errors}"
        )


@lru_cache
def find_fit(soc: str) -> Fit | None:
    """The fit of a chip; ``None`` where there are no figures to fit on."""
    return _read_fit(soc)


@lru_cache
def find_int8_fit(soc: str) -> Fit | None:
    """The same with the constants of int8 products beside those of fp16; ``None`` where there are no int8 figures."""
    half, whole = find_fit(soc), _read_fit(soc, ".int8")
    if half is None or whole is None:
        return None
    return replace(whole, parameters={**half.parameters, **whole.parameters})


def _read_fit(soc: str, precision: str = "") -> Fit | None:
    file = resources.files("neonext_ascend.cost") / "fits" / f"{soc.lower()}{precision}.json"
    return Fit(**json.loads(file.read_text("utf-8"))) if file.is_file() else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Speed at one batch, with the interval that holds ``coverage`` of the figures of networks not fitted on."""

    batch: int
    images_per_second: float
    low: float
    high: float
    coverage: float

    def to_json(self) -> dict[str, float]:
        """By name."""
        names = ("batch", "images_per_second", "low", "high", "coverage")
        return {name: getattr(self, name) for name in names}


def estimate(works: Sequence[Work], batch: int, soc: Soc, fit: Fit) -> tuple[Estimate, Floats]:
    """Of a whole graph, and the seconds of each operator."""
    assert soc.fp16_tflops is not None  # a chip with figures has a peak
    each = seconds(Table.of(works), fit.parameters, soc.fp16_tflops * 1e12 / 2)
    speed = batch / (fit.parameters["model"] + float(each.sum()))
    return Estimate(batch, speed, speed * fit.low, speed * fit.high, fit.coverage), each
