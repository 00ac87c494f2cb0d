"""The pictures that a user means: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.images.decoding import STANDARD_INPUT
from neonext_ascend.images.formats import EXPECTED, suffixes

_KINDS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Pictures in order, and in words what else the folders hold; ``None`` where there is nothing else."""

    pictures: list[Path]
    left_out: str | None = None


def find_pictures(arguments: Sequence[Path]) -> Found:
    """The pictures that are meant: a file itself, a folder's pictures (and its folders'), a pattern's matches.

    Raises:
        UsageError: a folder or a pattern without a picture.
        FileAccessError: a folder cannot be read.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    for argument in arguments:
        if argument.is_dir() and argument != STANDARD_INPUT:
            inside, beside = _inside(argument)
            if not inside:
                held = f" ({_kinds(beside)})" if beside else ""
                raise UsageError(f"{argument}: the folder holds no picture{held}; {EXPECTED}")
            others += beside
            found += inside
        elif glob.has_magic(str(argument)) and not argument.exists():
            matches = sorted(Path(name) for name in glob.glob(str(argument), recursive=True))  # noqa: PTH207 -- keeps ~ and .. as typed
            if not matches:
                raise UsageError(f"{argument}: the pattern matches no picture; {EXPECTED}")
            found += matches
        else:
            found.append(argument)
    if not others:
        return Found(found)
    count = others.total()
    files = "1 file that is no picture" if count == 1 else f"{count} files that are no pictures"
    return Found(found, f"left out {files} which Pillow opens: {_kinds(others)}")


def _inside(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The pictures of a folder and its folders, sorted, and how many other files there are of each suffix.

    What has a picture's name and cannot be opened, a broken link for one, is a picture that fails by itself.
    """
    pictures, others = [], Counter[str]()
    for where, names in _walk(folder):
        for name in names:
            if is_picture(name):
                pictures.append(Path(where, name))
            elif (suffix := _suffix(name)) in suffixes() or not name.startswith("."):
                others[suffix] += 1
    return sorted(pictures), others


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture; macOS keeps what is no pixel in ``._NAME``."""
    return _suffix(name) in suffixes() and not name.startswith("._")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 -- a Path for each name of a large folder is slow


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    def refuse(error: OSError) -> None:
        raise FileAccessError(f"{error.filename}: cannot read the folder: {error.strerror}") from None

    for where, _, names in os.walk(folder, onerror=refuse):
        yield where, names


def _kinds(others: Counter[str]) -> str:
    shown = [f"{count} {suffix or 'without a suffix'}" for suffix, count in others.most_common(_KINDS_SHOWN)]
    return ", ".join([*shown, *(["..."] if len(others) > _KINDS_SHOWN else [])])
