"""The first answer of ``predict FOLDER`` where the folder holds many pictures: ``python -m tests.support.listing NAMES
FOLDERS``; prints the seconds to it and the memory it took.

The names are hard links to small pictures, in as many folders inside one as are asked for; 1: in that one itself.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.jobs import predict
from tests.support.readers import peak_kb

_LINKS = 30_000  # a file may have 65,000 on ext4


def fill(folder: Path, names: int, folders: int) -> None:
    """Pictures by many names."""
    content, original = sample_pictures()[3].read_bytes(), folder
    for number in range(names):
        inside = folder if folders == 1 else folder / f"{number * folders // names:06d}"
        inside.mkdir(exist_ok=True)
        name = inside / f"{number:06d}.png"
        if number % _LINKS:
            os.link(original, name)
        else:
            name.write_bytes(content)
            original = name


def main(names: int, folders: int) -> None:
    """Measure one folder."""
    with TemporaryDirectory() as place:
        assert run(["export", "neonext_nano", "--no-verify", "-o", place]) == 0
        (artifact,) = Path(place).glob("*.onnx")
        many = Path(place, "many")
        many.mkdir()
        fill(many, names, folders)
        list(predict(artifact, sample_pictures()))  # what is loaded once is loaded now
        before, begin = peak_kb(), time.perf_counter()
        with predict(artifact, many) as answers:
            next(answers)
            seconds, more = time.perf_counter() - begin, (peak_kb() - before) / 1024
        print(f"{names} names in {folders} folders: the first answer after {seconds:.2f} s and {more:.0f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
