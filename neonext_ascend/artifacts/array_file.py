"""Anybody's ``.npy``: one array of numbers, read from the disk as far as it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ArtifactError, FileAccessError

NUMBERS = "fiub"  # numpy's kinds of dtypes
# What numpy says of a file that ends too early: in its head, or in its numbers.
_CUT = ("EOF", "mmap length", "No data left")


def read_array(file: Path) -> NDArray[np.generic]:
    """An array of numbers, as someone's program saved it.

    Raises:
        ArtifactError: it is none.
        FileAccessError: it is no regular file, cannot be read, or ends too early.
    """
    FileAccessError.refuse_special(file, "an array")
    try:
        with file.open("rb") as opened:  # numpy would take an archive of arrays too
            head = opened.read(len(np.lib.format.MAGIC_PREFIX))
        whole = np.lib.format.MAGIC_PREFIX.startswith(head)
        value: object = np.load(file, mmap_mode="r", allow_pickle=False) if whole else None
    except MemoryError:
        raise
    except OSError as error:
        raise FileAccessError(f"{file}: cannot read the array: {error.strerror}") from None
    except Exception as error:  # a damaged file makes numpy raise nearly anything
        if any(word in str(error) for word in _CUT):
            raise FileAccessError(f"{file}: the array is truncated; save or copy it again") from None
        value = None
    if not isinstance(value, np.ndarray):
        raise ArtifactError(f"{file}: not an array that numpy can read; save it with numpy.save")
    if value.dtype.kind not in NUMBERS:
        raise ArtifactError(f"{file}: holds no numbers; expected one array of them")
    return np.asarray(value)
