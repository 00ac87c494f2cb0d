"""Files that say the class of each picture: CSV, TSV, JSONL, ``NAME LABEL`` lines, or labels alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from neonext_ascend.errors import FileAccessError, UsageError

LABEL_SUFFIXES = (".csv", ".tsv", ".jsonl", ".txt")
# A picture's name, empty where the file holds labels alone, and the name of its class.
Row = tuple[str, str]
_PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "name")
_LABELS = ("label", "class", "class_name", "synset", "category", "target")
_ILSVRC = "ILSVRC2012_validation_ground_truth"


def read_label_file(file: Path) -> list[Row]:
    """Every row of a label file, by its suffix.

    A header of a CSV or TSV file, and the keys of JSONL, name path and label (``path,label``); without a header they
    are the first two columns. Paths may hold spaces: of a text line the last word is the label, and a line of one word
    is a label alone.

    Raises:
        UsageError: the content is something else.
        FileAccessError: the file cannot be read.
    """
    if file.name.startswith(_ILSVRC):
        raise UsageError(
            f"{file}: holds ILSVRC's own numbers, which count from 1 in another order than the classes of networks; "
            "expected synsets (n01440764), names, or NAME LABEL lines"
        )
    try:
        FileAccessError.refuse_special(file, "paths and labels")
        # A line's end inside quotes is CSV's affair; a file of Windows may begin with a mark.
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(_READERS.get(file.suffix.lower(), _words)(opened, file))
    except OSError as error:
        raise FileAccessError(f"{file}: cannot read the labels: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: the labels are not UTF-8 text; expected a path and a label on each line") from None
    except csv.Error as error:
        raise UsageError(f"{file}: damaged table: {error}; expected a path and a label on each line") from None
    if not rows:
        raise UsageError(f"{file}: holds no label; expected a path and a label on each line")
    names = [name for name, _ in rows if name]
    if len(names) != len(set(names)):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value] # add gives None: remembers and goes on
        raise UsageError(f"{file}: names {twice} twice; expected each picture once")
    return rows


def _csv(lines: Iterator[str], file: Path) -> Iterator[Row]:
    return _table(csv.reader(lines, strict=True), file)


def _tsv(lines: Iterator[str], file: Path) -> Iterator[Row]:
    return _table(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), file)


def _table(rows: Iterator[list[str]], file: Path) -> Iterator[Row]:
    path, label = 0, 1
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        if number == 1:
            header = [cell.strip().lower() for cell in row]
            columns = _column(header, _PATHS), _column(header, _LABELS)
            if None not in columns:
                path, label = columns  # type: ignore[assignment] # neither is None
                continue
        if len(row) <= max(path, label) or not (row[path].strip() and row[label].strip()):
            raise UsageError(f"{file}: line {number} is {','.join(row)[:60]!r}; expected a path and a label")
        yield row[path].strip(), row[label].strip()


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _jsonl(lines: Iterator[str], file: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        found = data if isinstance(data, dict) else {}
        values = [next((found[key] for key in keys if key in found), None) for keys in (_PATHS, _LABELS)]
        path, label = values
        if not isinstance(path, str) or not path or isinstance(label, bool) or not isinstance(label, str | int):
            raise UsageError(f'{file}: line {number}: expected an object such as {{"path": "a.png", "label": "cat"}}')
        yield path, str(label)


def _words(lines: Iterator[str], file: Path) -> Iterator[Row]:
    for line in lines:
        *name, label = line.rsplit(maxsplit=1) or [""]
        if label:
            yield "".join(name).strip(), label


_READERS = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl}
