"""The committed figures and graphs that the cost model is fitted on."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.cost.counting import Work
from neonext_ascend.cost.timing import Parameters, Table, seconds

FOLDER = Path(__file__).parent
FIGURES, OPERATORS = FOLDER / "published.csv", FOLDER / "operators.csv.gz"
INT8_FIGURES, INT8_OPERATORS = FOLDER / "published_int8.csv", FOLDER / "operators_int8.csv.gz"
_NUMBERS = ("dense", "cube", "elements", "functions", "read", "written", "weights", "ragged", "lines")


_MARKS = ("aipp", "edited", "small_channel", "fast_sigmoid", "fitted")
_NARROW = 4  # times the multiplications, where so few channels are filled up to a block


@dataclass(frozen=True, slots=True)
class Figure:
    """One published speed, in images a second.

    Attributes:
        graph: name in the table of operators; network: the same without its image size.
        aipp: the chip's preprocessor made the input.
        edited: the graph was changed by hand before it was compiled: rows of matrices flattened and padded to blocks.
        small_channel: the first convolution takes its few channels without filling them up.
        fast_sigmoid: compiled with the high-performance form of Sigmoid.
        chip: as the figure's page has it.
        fitted: one of the rows of the fit; the others are held against it.
        source: its page.
    """

    graph: str
    batch: int
    images_per_second: float
    aipp: bool
    edited: bool
    small_channel: bool
    fast_sigmoid: bool
    fitted: bool
    chip: str
    source: str

    @property
    def network(self) -> str:
        """Without the image size."""
        return self.graph.split("@")[0]


def read_figures(path: Path = FIGURES) -> list[Figure]:
    """All that are committed: in fp16, or in int8."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Figure(
                graph=row["graph"],
                batch=int(row["batch"]),
                images_per_second=float(row["images_per_second"]),
                chip=row["chip"],
                source=row["source"],
                **{name: row[name] == "yes" for name in _MARKS},
            )
            for row in csv.DictReader(file)
        ]


def read_operators(path: Path = OPERATORS) -> dict[tuple[str, int], list[Work]]:
    """The work of each graph at each batch."""
    found: dict[tuple[str, int], list[Work]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbers = {name: int(row[name]) for name in _NUMBERS}
            work = Work(row["kind"], **numbers, int8=row.get("int8") == "1")  # type: ignore[arg-type] # a kind, as it was written
            found.setdefault((row["graph"], int(row["batch"])), []).extend([work] * int(row["count"]))
    return found


def write_operators(graphs: Mapping[tuple[str, int], Sequence[Work]], path: Path = OPERATORS) -> None:
    """Each graph at each batch; equal operators are one row with their count."""
    names = _NUMBERS if path == OPERATORS else (*_NUMBERS, "int8")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["graph", "batch", "count", "kind", *names])
    for (graph, batch), works in graphs.items():
        for work, count in {work: list(works).count(work) for work in works}.items():
            writer.writerow([graph, batch, count, work.kind, *(int(getattr(work, name)) for name in names)])
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


class Rows:
    """Figures and the work behind each, side by side, ready to be timed.

    Attributes:
        figures: in order.
        logs: of the seconds of a batch, as published.
    """

    def __init__(self, figures: Sequence[Figure], graphs: Mapping[tuple[str, int], Sequence[Work]]) -> None:
        self.figures = list(figures)
        works: list[Work] = []
        counts: list[int] = []
        lengths: list[int] = []
        for figure in self.figures:
            kept = Counter(_compiled(graphs[figure.graph, figure.batch], figure))
            works += kept
            counts += kept.values()
            lengths.append(len(kept))
        self._table, self._counts = Table.of(works), np.array(counts, np.float64)
        self._starts = np.cumsum([0, *lengths[:-1]])
        small, fast = (
            np.repeat([getattr(figure, name) for figure in self.figures], lengths)
            for name in ("small_channel", "fast_sigmoid")
        )
        narrow = (self._table.kinds == "conv") & (self._table.counts["cube"] >= _NARROW * self._table.counts["dense"])
        self._small, self._fast = small & narrow, fast
        self.logs = np.log([figure.batch / figure.images_per_second for figure in self.figures])

    def predicted(self, parameters: Parameters, peak: float) -> NDArray[np.float64]:
        """Logs of the seconds of a batch."""
        counts = dict(self._table.counts)
        narrow = np.where(self._small, parameters["small_channel"], 1.0)
        counts.update({name: counts[name] * narrow for name in ("cube", "read")})
        counts["functions"] = np.where(self._fast, parameters["fast_sigmoid"], 1.0) * counts["functions"]
        each = seconds(Table(self._table.kinds, counts), parameters, peak) * self._counts
        return np.log(parameters["model"] + np.add.reduceat(each, self._starts))


def _compiled(works: Sequence[Work], figure: Figure) -> list[Work]:
    """What the page compiled: AIPP makes the input, and edited graphs have no ragged rows."""
    kept = [work for work in works if not (figure.aipp and work.kind == "input")]
    return [replace(work, ragged=0) for work in kept] if figure.edited else kept
