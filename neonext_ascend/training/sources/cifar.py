"""CIFAR-10 as its authors give it: binary batches, or Python's, which are read without running what is in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.training.sources.entries import Entry, Listed, Source

_SIDE, _CHANNELS, _CLASSES = 32, 3, 10
_PIXELS = _CHANNELS * _SIDE * _SIDE
_BINARY, _PYTHON = ".bin", ""
_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# All that a batch of Python's needs to be built: numpy's arrays, under their names of then and of now.
_BUILT_WITH = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}

Batch = tuple[NDArray[np.uint8], list[int]]


def batches_of(path: Path) -> tuple[list[Path], list[Path]] | None:
    """Training and test batches in a folder; ``None`` where it has none."""
    for suffix in (_BINARY, _PYTHON):
        training = sorted(path.glob(f"data_batch_[0-9]{suffix}"))
        if training:
            test = path / f"test_batch{suffix}"
            return training, [test] if test.exists() else []
    return None


def read(path: Path, batches: tuple[list[Path], list[Path]]) -> Source:
    """The pictures, in memory: 3 KB each.

    Raises:
        FileAccessError: a batch cannot be read, or is cut short.
        UsageError: a batch holds something else.
    """
    training, test = ([entry for file in files for entry in _entries(file)] for files in batches)
    said = f"held out: {batches[1][0].name}" if test else "nothing held out: there is no test_batch"
    return Source(str(path), _NAMES, Listed(training), Listed(test) if test else None, said)


def _entries(file: Path) -> list[Entry]:
    try:
        pixels, labels = _binary(file) if file.suffix == _BINARY else _python(file)
    except OSError as error:
        raise FileAccessError(f"{file}: cannot read it: {error.strerror}") from None
    if any(not 0 <= label < _CLASSES for label in labels):
        raise UsageError(f"{file}: holds a class beyond {_CLASSES - 1}; expected a batch of CIFAR-10")
    pictures = pixels.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return [
        Entry(f"{file.name}[{number}]", np.ascontiguousarray(picture), label)
        for number, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]


def _binary(file: Path) -> Batch:
    """A byte for the class, then 1,024 of red, of green and of blue, for each picture."""
    content = np.fromfile(file, dtype=np.uint8)
    if not content.size or content.size % (1 + _PIXELS):
        raise FileAccessError(f"{file}: is cut short: {content.size} bytes are no multiple of {1 + _PIXELS}")
    rows = content.reshape(-1, 1 + _PIXELS)
    return rows[:, 1:], rows[:, 0].tolist()


def _python(file: Path) -> Batch:
    try:
        with file.open("rb") as opened:
            batch: Any = _Unpickler(opened, encoding="bytes").load()
    except OSError:
        raise
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        what = "is cut short" if isinstance(error, EOFError) or "truncated" in str(error) else "is damaged"
        raise FileAccessError(f"{file}: {what}: {error}; copy it again") from None
    fields: dict[Any, Any] = batch if isinstance(batch, dict) else {}
    pixels, labels = (fields.get(name, fields.get(name.encode())) for name in ("data", "labels"))
    if not (_are_pixels(pixels) and isinstance(labels, list) and len(labels) == len(pixels)):
        raise UsageError(f"{file}: holds no data and labels; expected a batch of CIFAR-10")
    return pixels, [label if isinstance(label, int) else -1 for label in labels]


def _are_pixels(value: object) -> TypeGuard[NDArray[np.uint8]]:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 2 and value.shape[1] == _PIXELS


class _Unpickler(pickle.Unpickler):
    """Builds numpy's arrays and nothing else: a pickle may otherwise run whatever it names."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the few that are allowed."""
        if (module, name) not in _BUILT_WITH:
            raise UsageError(f"wants {module}.{name}, which no batch of CIFAR-10 needs; nothing was run")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
