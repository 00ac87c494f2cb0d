"""Where ATC can work: it takes few characters in the real paths of ``--model`` and ``--output``.

Source: ``CheckInputPathValid`` and ``CheckOutputPathValid`` in hicann/ge, E10001.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from neonext_ascend.errors import UsageError

_REFUSED = re.compile(r"[^\u4e00-\u9fa5A-Za-z0-9./_-]")
PLAIN = "model"


def real(path: Path) -> Path:
    """The path behind all links; of links in a circle, which Python's own resolve minds, the path itself."""
    return Path(os.path.realpath(path))


def atc_path_problem(path: Path) -> str | None:
    """What ATC would refuse in a path, ``None`` where nothing; links of an absolute one are followed."""
    text = str(real(path) if path.is_absolute() else path)
    # A Chinese name is one in every locale.
    found = _REFUSED.search(os.fsencode(text).decode("utf-8", "surrogateescape"))
    if found is None:
        return None
    return f"{text}: atc takes no {found[0]!r} in a path (E10001), only A-Z a-z 0-9 . _ - and Chinese characters"


def check_atc_path(path: Path) -> None:
    """Refuse a path for a command that a person is to run.

    Raises:
        UsageError: ATC would refuse it.
    """
    problem = atc_path_problem(path)
    if problem is not None:
        raise UsageError(f"{problem}; give -o another folder, and the network another name if it is in that")


def work_place(folder: Path) -> Path:
    """``folder`` itself, or for a name that ATC refuses the system's temporary one.

    Raises:
        UsageError: ATC would refuse both.
    """
    places = (folder.absolute(), Path(tempfile.gettempdir()))
    problems = [atc_path_problem(place) for place in places]
    if None not in problems:
        raise UsageError(f"{'; '.join(map(str, problems))}; give -o, or the variable TMPDIR, another folder")
    return places[problems.index(None)]


def plain_name(scratch: Path, name: str) -> str:
    """``name``, or for one that ATC refuses another in its place."""
    return PLAIN if atc_path_problem(scratch / name) else name


def plain_model(onnx: Path, scratch: Path) -> Path:
    """The real path of the ONNX file, or for one that ATC refuses that of a copy in ``scratch``.

    Raises:
        OSError: it cannot be copied.
    """
    if atc_path_problem(onnx.absolute()) is None:
        return real(onnx)
    # A copy, no link: readers of ONNX refuse external data that have two. The file names them by their bare name.
    data = onnx.with_name(f"{onnx.name}.data")
    if data.exists():
        shutil.copyfile(data, scratch / data.name)
    return Path(shutil.copyfile(onnx, scratch / f"{PLAIN}.onnx"))
