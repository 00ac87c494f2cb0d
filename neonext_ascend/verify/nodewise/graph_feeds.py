"""What is fed to anybody's graph: seeded noise for each input, and that as files, for the other side."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.runtimes.onnx_file import free_words
from neonext_ascend.runtimes.steps import Array, Steps

_PICTURES = 4  # axes of a batch of them


def noise_for(
    steps: Steps, where: Path, seed: int, known: Mapping[str, Array] = MappingProxyType({}), like: Steps | None = None
) -> dict[str, Array]:
    """Seeded standard normal noise for every input of a graph, in its own dtype; float32 for half precision.

    Args:
        steps: the graph.
        where: its file, for the words.
        seed: of the noise.
        known: inputs that are given.
        like: another graph, whose sizes are taken where this one leaves them free; else a free size is 1.

    Raises:
        ArtifactError: an input takes no floating numbers, or pictures of any height and width.
    """
    random, feeds = np.random.RandomState(seed), dict[str, Array](known)
    others = [shape for _, _, shape in like.tensors()] if like is not None else []
    for place, (name, dtype, shape) in enumerate(steps.tensors()):
        if name in known:
            continue
        if dtype not in ("float32", "float16", "bfloat16", "float64"):
            raise ArtifactError(f"{where}: input {name} is {dtype}; debug feeds noise to floating inputs alone")
        if place < len(others) and len(others[place]) == len(shape):
            shape = tuple(mine or other for mine, other in zip(shape, others[place], strict=True))
        if len(shape) == _PICTURES and not all(shape[1:]):
            raise ArtifactError(f"{where}: {free_words(name, shape)}")
        try:
            values = random.standard_normal([n or 1 for n in shape])
        except ValueError:  # a negative size, or more than an array can have
            raise ArtifactError(f"{where}: input {name} has the shape {shape}, which no tensor has") from None
        feeds[name] = values.astype("float64" if dtype == "float64" else "float32")
    return feeds


@contextlib.contextmanager
def memory_for(path: Path) -> Iterator[None]:
    """Work on a file, for which there may be too little memory.

    Raises:
        FileAccessError: there is.
    """
    try:
        yield
    except MemoryError:
        raise FileAccessError(f"{path}: not enough memory to compute it; take a smaller batch or image size") from None


def write_feeds(folder: Path, feeds: Mapping[str, Array]) -> list[Path]:
    """Write each input as ``NAME.npy``, signs that no file's name should have replaced.

    Raises:
        FileAccessError: they cannot be written.
    """
    names = {f"{re.sub('[^0-9A-Za-z._-]+', '_', name).strip('_') or 'input'}.npy": name for name in feeds}
    with staged(folder) as stage:
        for file, name in names.items():
            np.save(stage.folder / file, feeds[name])
        stage.publish(*names)
    return [folder.absolute() / file for file in names]
