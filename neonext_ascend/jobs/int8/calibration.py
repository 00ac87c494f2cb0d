"""The calibration pictures: found, decoded once, kept as pixels, named by one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.array_file import read_array
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.images.dataset import open_dataset
from neonext_ascend.images.decoding import read_pictures
from neonext_ascend.images.finding import Found
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.jobs.watching import Watch

# More change a scale by less than its calibrators differ; time and memory grow with them.
MOST = 256


@dataclass(frozen=True, eq=False)
class Pictures:
    """What int8 is calibrated on.

    Args:
        folder: as it was named.
        found: how many pictures are in it; those in use are spread evenly over them.
        pixels: ``(N, H, W, 3)`` uint8; or the inputs themselves, ``(N, ...)`` float32.
        labels: their classes; empty where the folder tells none.
        sha256: over names and contents of those in use.
        preprocessing: of the network; ``None`` of inputs.
    """

    folder: Path
    found: int
    pixels: NDArray[Any]
    labels: tuple[str, ...]
    sha256: str
    preprocessing: Preprocessing | None

    def batches(
        self, rows: int | None, most: int = MOST, on_line: Callable[[str], None] = lambda _: None
    ) -> Iterator[NDArray[np.float32]]:
        """Inputs ``(rows, ...)``, of at most so many pictures; the last is filled up from the front.

        A free batch takes one by one; ``on_line`` is told of each.
        """
        rows = rows or 1
        chosen = self.pixels[_spread(len(self.pixels), most)]
        for start in range(0, len(chosen), rows):
            places = np.arange(start, start + rows) % len(chosen)
            on_line(f"{start}/{len(chosen)} pictures")
            yield chosen[places] if self.preprocessing is None else self.preprocessing.normalise(chosen[places])


def read_calibration(folder: Path, preprocessing: Preprocessing, watch: Watch) -> Pictures:
    """Read a folder's pictures, at most :data:`MOST`.

    Raises:
        UsageError: it holds none that can be read.
        FileAccessError: it cannot be read.
    """
    if not folder.exists():
        raise FileAccessError(f"--calibration {folder}: no such folder; expected pictures such as the network will see")
    named = _named(folder)
    used = [named[place] for place in _spread(len(named))]
    pixels, labels, unread, digest = [], [], list[NeoNextError](), hashlib.sha256()
    read = read_pictures((path for _, path, _ in used), preprocessing.pixels)
    for (name, _, label), (path, found) in zip(used, read, strict=True):
        if isinstance(found, NeoNextError):
            unread.append(found)
            continue
        pixels.append(found.value)
        digest.update(f"{name}\0{sha256_of(path)}\n".encode("utf-8", "surrogateescape"))
        labels += [label] if label is not None else []
    if not pixels:
        raise UsageError(f"--calibration {folder}: none of its pictures can be read; the first: {unread[0]}")
    if unread:
        told = f"{len(unread)} of {counted(len(used), 'picture')} cannot be read"
        watch.warn(f"--calibration {folder}: {told} and are left out; the first: {unread[0]}")
    return Pictures(folder, len(named), np.stack(pixels), tuple(labels), digest.hexdigest(), preprocessing)


def read_inputs(folder: Path, shape: Sequence[int]) -> Pictures:
    """Inputs as they are fed, each a ``NAME.npy`` of one row of this shape, or of several; at most :data:`MOST` files.

    Raises:
        UsageError, ArtifactError: one is no array, has another shape or dtype, NaN or infinity; or all are empty.
        FileAccessError: one cannot be read, or is cut off.
    """
    named = input_files(folder)
    rows, digest = list[NDArray[Any]](), hashlib.sha256()
    for path in (named[place] for place in _spread(len(named))):
        value = read_array(path)
        expected = f"{path}: holds {value.dtype} {value.shape}; expected float32 of {tuple(shape)}, or rows of it"
        if value.dtype != np.float32 or value.shape[value.ndim - len(shape) :] != tuple(shape):
            raise UsageError(expected)
        if value.ndim not in (len(shape), len(shape) + 1):
            raise UsageError(expected)
        if not np.isfinite(value).all():
            raise UsageError(f"{path}: holds NaN or infinity; expected numbers such as the network will be fed")
        left = MOST - sum(map(len, rows))
        rows.append(np.array(value.reshape(-1, *shape)[:left]))  # read: a file that is only mapped stays open
        digest.update(f"{path.relative_to(folder)}\0{sha256_of(path)}\n".encode("utf-8", "surrogateescape"))
    if not any(map(len, rows)):
        raise UsageError(f"--calibration {folder}: its files hold no row; expected inputs of {tuple(shape)}")
    return Pictures(folder, len(named), np.concatenate(rows), (), digest.hexdigest(), None)


def input_files(folder: Path) -> list[Path]:
    """Those in a folder, or the one file itself; empty where there is none."""
    return [folder] if folder.suffix == ".npy" and not folder.is_dir() else sorted(folder.rglob("*.npy"))


def _spread(count: int, most: int = MOST) -> list[int]:
    """At most so many places, evenly over all."""
    return [int(place) for place in np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))]


def _named(folder: Path) -> list[tuple[str, Path, str | None]]:
    try:
        labelled = [(item.name, item.path, item.label) for item in open_dataset(folder)]
    except UsageError:
        labelled = []
    return list(labelled) or [(str(path.relative_to(folder)), path, None) for path in Found([folder])]
