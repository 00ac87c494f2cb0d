"""The pictures that a user means: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Self

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.images.decoding import STANDARD_INPUT
from neonext_ascend.images.formats import EXPECTED, suffixes

_KINDS_SHOWN = 5


class Found(Iterator[Path]):
    """The pictures that are meant, in order; a folder is listed when its turn comes.

    Args:
        arguments: files themselves, folders for their pictures (and their folders'), patterns for their matches.

    Attributes:
        several: whether there is more than one.

    Raises:
        UsageError: a folder or a pattern without a picture.
        FileAccessError: a folder cannot be read; one inside it fails by itself, as a picture does.
    """

    def __init__(self, arguments: Sequence[Path]) -> None:
        self._arguments = arguments
        self._others: list[Counter[str]] = []
        stream = chain.from_iterable([self._meant(argument) for argument in arguments])
        begin = list(islice(stream, 2))
        self.several = len(begin) > 1
        self._stream = chain(begin, stream)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Path:
        return next(self._stream)

    @cached_property
    def count(self) -> int:
        """How many there are in all; the folders are listed once more for it."""
        return sum(1 for _ in Found(self._arguments))

    @property
    def left_out(self) -> str | None:
        """In words what else the folders hold that were listed so far; ``None`` where that is nothing."""
        others = sum(self._others, Counter[str]())
        if not others:
            return None
        count = others.total()
        files = "1 file that is no picture" if count == 1 else f"{count} files that are no pictures"
        return f"left out {files} which Pillow opens: {_kinds(others)}"

    def _meant(self, argument: Path) -> Iterator[Path]:
        if argument.is_dir() and argument != STANDARD_INPUT:
            beside = Counter[str]()
            names = pictures_below(str(argument), beside)
            first = next(names, None)
            if first is None:
                held = f" ({_kinds(beside)})" if beside else ""
                raise UsageError(f"{argument}: the folder holds no picture{held}; {EXPECTED}")
            self._others.append(beside)
            return (Path(argument, name) for name in chain([first], names))
        if glob.has_magic(str(argument)) and not argument.exists():
            matches = sorted(Path(name) for name in glob.iglob(str(argument), recursive=True))  # noqa: PTH207 -- keeps ~ and .. as typed
            if not matches:
                raise UsageError(f"{argument}: the pattern matches no picture; {EXPECTED}")
            return iter(matches)
        return iter([argument])


def pictures_below(folder: str, others: Counter[str] | None = None) -> Iterator[str]:
    """The names of the pictures in a folder and its folders, relative to it, in the order of their paths.

    One folder is listed at a time, and no file is looked at. What has a picture's name and cannot be opened, a broken
    link for one, is a picture that fails by itself; so is a folder inside that cannot be read.

    Args:
        folder: where to look.
        others: takes how many other files there are of each suffix.

    Raises:
        FileAccessError: ``folder`` itself cannot be read.
    """
    waiting = [""]
    while waiting:
        name = waiting.pop()
        if name and not name.endswith("/"):
            yield name
            continue
        try:
            inside = _listed(f"{folder}/{name}" if name else folder, others)
        except OSError as error:
            if not name:
                raise FileAccessError(f"{folder}: cannot read the folder: {error.strerror}") from None
            yield name[:-1]
            continue
        waiting += [name + below for below in reversed(inside)]


def _listed(folder: str, others: Counter[str] | None) -> list[str]:
    """The names of pictures and, with a slash behind them, of folders; sorted without it."""
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.add(name)
            elif is_picture(name):
                names.append(name)
            elif others is not None and not entry.is_dir():
                suffix = _suffix(name)
                if suffix in suffixes() or not name.startswith("."):
                    others[suffix] += 1
    return [f"{name}/" if name in folders else name for name in sorted([*names, *folders])]


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture; macOS keeps what is no pixel in ``._NAME``."""
    return _suffix(name) in suffixes() and not name.startswith("._")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 -- a Path for each name of a large folder is slow


def _kinds(others: Counter[str]) -> str:
    shown = [f"{count} {suffix or 'without a suffix'}" for suffix, count in others.most_common(_KINDS_SHOWN)]
    return ", ".join([*shown, *(["..."] if len(others) > _KINDS_SHOWN else [])])
