"""The committed figures and graphs that the cost model is fitted on."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.cost.counting import Work
from neonext_ascend.cost.timing import Parameters, Table, seconds

FOLDER = Path(__file__).parent
FIGURES, OPERATORS = FOLDER / "published.csv", FOLDER / "operators.csv.gz"
_NUMBERS = ("dense", "cube", "elements", "functions", "read", "written", "weights")
_OUTSIDE = ("conv", "pointwise", "depthwise", "grouped", "input")  # what editing a graph by hand does not touch


@dataclass(frozen=True, slots=True)
class Figure:
    """One published speed, in images a second.

    Attributes:
        graph: name in the table of operators; network: the same without its image size.
        aipp: the chip's preprocessor made the input.
        edited: the graph was changed by hand before it was compiled.
        fitted: one of the rows of the fit; the others are held against it.
    """

    graph: str
    batch: int
    images_per_second: float
    aipp: bool
    edited: bool
    fitted: bool

    @property
    def network(self) -> str:
        """Without the image size."""
        return self.graph.split("@")[0]


def read_figures() -> list[Figure]:
    """All that are committed."""
    with FIGURES.open(encoding="utf-8", newline="") as file:
        return [
            Figure(
                row["graph"],
                int(row["batch"]),
                float(row["images_per_second"]),
                *(row[name] == "yes" for name in ("aipp", "edited", "fitted")),
            )
            for row in csv.DictReader(file)
        ]


def read_operators() -> dict[tuple[str, int], list[Work]]:
    """The work of each graph at each batch."""
    found: dict[tuple[str, int], list[Work]] = {}
    with gzip.open(OPERATORS, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbers = {name: int(row[name]) for name in _NUMBERS}
            work = Work(row["kind"], **numbers)  # type: ignore[arg-type] # a kind, as it was written
            found.setdefault((row["graph"], int(row["batch"])), []).extend([work] * int(row["count"]))
    return found


def write_operators(graphs: Mapping[tuple[str, int], Sequence[Work]]) -> None:
    """Each graph at each batch; equal operators are one row with their count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["graph", "batch", "count", "kind", *_NUMBERS])
    for (graph, batch), works in graphs.items():
        for work, count in {work: list(works).count(work) for work in works}.items():
            writer.writerow([graph, batch, count, work.kind, *(getattr(work, name) for name in _NUMBERS)])
    OPERATORS.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


class Rows:
    """Figures and the work behind each, side by side, ready to be timed.

    Attributes:
        figures: in order.
        logs: of the seconds of a batch, as published.
    """

    def __init__(self, figures: Sequence[Figure], graphs: Mapping[tuple[str, int], Sequence[Work]]) -> None:
        self.figures = list(figures)
        works = [
            [work for work in graphs[figure.graph, figure.batch] if not (figure.aipp and work.kind == "input")]
            for figure in self.figures
        ]
        self._table = Table.of([work for each in works for work in each])
        self._starts = np.cumsum([0, *map(len, works[:-1])])
        edited = np.repeat([figure.edited for figure in self.figures], [len(each) for each in works])
        self._edited = edited & ~np.isin(self._table.kinds, _OUTSIDE)
        self.logs = np.log([figure.batch / figure.images_per_second for figure in self.figures])

    def predicted(self, parameters: Parameters, peak: float) -> NDArray[np.float64]:
        """Logs of the seconds of a batch."""
        each = seconds(self._table, parameters, peak)
        each = np.where(self._edited, each * parameters["edited"], each)
        return np.log(parameters["model"] + np.add.reduceat(each, self._starts))
