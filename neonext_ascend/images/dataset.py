"""Labelled pictures as people keep them: a folder per class, or a file that names each picture's class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Self

from neonext_ascend.errors import FileAccessError, UsageError, counted
from neonext_ascend.images.finding import pictures_below
from neonext_ascend.images.formats import EXPECTED
from neonext_ascend.images.labels import LABEL_SUFFIXES, Row, read_label_file

_EXPECTED = "a folder per class, a folder of pictures with a label file, or a file of paths and labels"


@dataclass(frozen=True, slots=True)
class Item:
    """A picture and the name of its class.

    Args:
        name: its path within the data set.
        path: of the file.
        label: its class.
        mark: another one wherever the file is another, or was written again; empty where that was not asked.
    """

    name: str
    path: Path
    label: str
    mark: str = ""

    def marked(self) -> Item:
        """With its mark: size, times and inode, for to read 200,000 pictures twice would take as long as to ask them.

        Times alone would not tell: a copy may keep them, and bitmaps of a kind have one size. No program can set the
        time of the last change of an inode.
        """
        try:
            told = self.path.stat()
        except OSError:  # it fails by itself when it is read
            return self
        numbers = told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino
        return replace(self, mark=".".join(f"{number:x}" for number in numbers))


@dataclass
class Dataset:
    """Pictures with labels, in an order that stays; those of one class folder at a time are listed.

    Args:
        root: to which names are relative.
        classes: the names of classes, sorted.
        rows: what the label file says; ``None`` where the folders tell the class.
    """

    root: Path
    classes: tuple[str, ...]
    rows: Sequence[Row] | None = None
    _begun: Iterator[Item] | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[Item]:
        begun, self._begun = self._begun, None
        return self._items() if begun is None else begun

    def refusing_empty(self) -> Self:
        """Itself, where it holds a picture; what was listed to see it is not listed once more.

        Raises:
            UsageError: there is none.
        """
        items = self._items()
        first = next(items, None)
        if first is None:
            raise UsageError(f"{self.root}: the data set holds no picture; {EXPECTED}")
        self._begun = chain([first], items)
        return self

    def _items(self) -> Iterator[Item]:
        if self.rows is not None:
            for name, label in self.rows:
                yield Item(name, self.root / name, label)
            return
        for label in self.classes:
            for name in pictures_below(os.path.join(self.root, label)):  # noqa: PTH118 -- a Path for each name of a large folder is slow
                yield Item(f"{label}/{name}", Path(self.root, label, name), label)


def open_dataset(path: Path, labels: Path | None = None) -> Dataset:
    """What ``path`` holds.

    Args:
        path: a folder of class folders; a folder of pictures; or a file of paths and labels, relative to itself.
        labels: the label file of a folder; without one the only file beside the pictures that can be one is taken.

    Raises:
        UsageError: it is none of these, or the label file says something else.
        FileAccessError: it cannot be read.
    """
    if not path.is_dir():
        if labels is not None:
            raise UsageError(f"{path}: is no folder; --labels goes with a folder of pictures")
        if not path.exists():
            raise FileAccessError(f"{path}: no such data set; expected {_EXPECTED}")
        if path.suffix.lower() not in LABEL_SUFFIXES:
            raise UsageError(f"{path}: not a data set; expected {_EXPECTED} ({', '.join(LABEL_SUFFIXES)})")
        return _listed(path.parent, path, read_label_file(path))
    if labels is not None:
        return _of_label_file(path, labels)
    folders, found = _classes_and_label_files(path)
    if len(found) == 1 and not folders:
        return _of_label_file(path, path / found[0])
    if folders:
        return Dataset(path, tuple(folders))
    several = f"holds {', '.join(found)}: name one with --labels" if found else f"no data set; expected {_EXPECTED}"
    raise UsageError(f"{path}: {several}")


def _of_label_file(folder: Path, file: Path) -> Dataset:
    """Rows that name pictures; or a label for each picture in the order of their names."""
    rows = read_label_file(file)
    if any(name for name, _ in rows):
        return _listed(folder, file, rows)
    names = list(pictures_below(str(folder)))
    if len(names) != len(rows):
        labels, pictures = counted(len(rows), "label"), counted(len(names), "picture")
        raise UsageError(f"{file}: holds {labels} for {pictures} in {folder}; expected one a picture")
    return _listed(folder, file, [(name, label) for name, (_, label) in zip(names, rows, strict=True)])


def _listed(root: Path, file: Path, rows: list[Row]) -> Dataset:
    unnamed = next((number for number, (name, _) in enumerate(rows, 1) if not name), None)
    if unnamed is not None:
        raise UsageError(f"{file}: entry {unnamed} names no picture; expected a path and a label on each line")
    return Dataset(root, tuple(sorted({label for _, label in rows})), rows)


def _classes_and_label_files(folder: Path) -> tuple[list[str], list[str]]:
    try:
        with os.scandir(str(folder)) as entries:
            found = sorted(
                (entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith((".", "__MACOSX"))
            )
    except OSError as error:
        raise FileAccessError(f"{folder}: cannot read the folder: {error.strerror}") from None
    files = [name for name, is_folder in found if not is_folder and name.lower().endswith(LABEL_SUFFIXES)]
    return [name for name, is_folder in found if is_folder], files
