"""Measured times of operators, as the vendor's profiler ``msprof`` writes them: ``op_summary_*.csv``.

Columns by the vendor's page *op_summary (Operator Details)* (CANN 8.0 and 8.5, ``atlasprofiling_16_0067``; hicann's and
MindStudio's msprof documents have the same): ``Op Name``, ``OP Type``, ``Task Start Time(us)`` and ``Task
Duration(us)``, which holds the way to the accelerator, the run there and the answer; a field that does not exist is
``N/A``. Pages up to CANN 6.0 name the column ``Task Duration``, in us as well.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.files.foreign import HEAD, describe

NAME, TYPE = "Op Name", "OP Type"
DURATIONS, STARTS = ("Task Duration(us)", "Task Duration"), ("Task Start Time(us)", "Task Start Time")
_EXPECTED = f"expected op_summary_*.csv as msprof writes it, with {NAME!r} and {DURATIONS[0]!r} among its columns"


@dataclass(frozen=True, slots=True)
class Measured:
    """One operator of an OM.

    Attributes:
        name, type: as the compiler has them; the type is empty where it was not collected.
        microseconds: the median of its runs.
        runs: how many.
    """

    name: str
    type: str
    microseconds: float
    runs: int


def read_summary(path: Path) -> list[Measured]:
    """Each operator once, in the order in which they first ran.

    Raises:
        FileAccessError: the file cannot be read, or is empty.
        ArtifactError: it is another table, a damaged one, or holds no time.
    """
    try:
        FileAccessError.refuse_special(path, "a table of msprof's")
        with path.open("rb") as opened:
            foreign = describe(opened.read(HEAD), "op_summary_*.csv")
        if foreign is not None:
            raise ArtifactError(f"{path}: is {foreign}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(_rows(csv.reader(file, strict=True), path))
    except FileNotFoundError:
        raise FileAccessError(f"{path}: no such file; {_EXPECTED}") from None
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the table: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path}: is not UTF-8 text; {_EXPECTED}") from None
    except csv.Error as error:
        raise ArtifactError(f"{path}: damaged table: {error}; {_EXPECTED}") from None
    if not found:
        raise ArtifactError(f"{path}: holds no operator with a time; was a model run while msprof collected?")
    times: dict[tuple[str, str], list[float]] = {}
    for _, name, kind, time in sorted(found, key=lambda row: row[0]):  # rows without a start keep their order
        times.setdefault((name, kind), []).append(time)
    return [Measured(name, kind, median(each), len(each)) for (name, kind), each in times.items()]


def _rows(lines: Iterable[Sequence[str]], path: Path) -> Iterable[tuple[float, str, str, float]]:
    """Start, name, type and time of each row that has a time."""
    header: list[str] | None = None
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if header is None:
            header = cells
            name, duration = _column(header, (NAME,)), _column(header, DURATIONS)
            if name is None or duration is None:
                missing = NAME if name is None else DURATIONS[0]
                raise ArtifactError(f"{path}: has no column {missing!r}; {_EXPECTED}")
            kind, start = _column(header, (TYPE,)), _column(header, STARTS)
            continue
        if len(cells) < len(header):
            raise ArtifactError(f"{path}: line {number} has {len(cells)} of {len(header)} columns; copy the file again")
        time = _number(cells[duration])  # type: ignore[index] # the header was refused without it
        if time is not None and time > 0 and cells[name]:  # type: ignore[index] # the same
            kind_text = "" if kind is None or cells[kind] == "N/A" else cells[kind]
            begun = None if start is None else _number(cells[start])
            yield 0.0 if begun is None else begun, cells[name], kind_text, time  # type: ignore[index] # the same
    if header is None:
        raise FileAccessError(f"{path}: the file is empty; {_EXPECTED}")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _number(text: str) -> float | None:
    """``None`` for what is none, as N/A."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
