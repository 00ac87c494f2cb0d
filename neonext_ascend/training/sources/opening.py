"""What ``--data`` names: digits, CIFAR-10, WebDataset's shards, ImageNet's layout or a folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neonext_ascend.errors import UsageError, counted
from neonext_ascend.images.dataset import Dataset, open_dataset
from neonext_ascend.training.sources import cifar, digits, shards
from neonext_ascend.training.sources.entries import Entry, Listed, Source, parted

_TRAINING, _HELD_OUT = ("train", "training"), ("val", "valid", "validation", "test")


def open_source(data: str, share: float, seed: int) -> Source:
    """The labelled pictures that ``data`` names.

    Args:
        data: ``digits``; a folder with CIFAR-10's batches; shards, by a folder, a file, or a pattern of the library; a
            folder with ``train`` and ``val``; or what ``eval`` takes: a folder per class, or a label file.
        share: held out of each class where the data has no part for it.
        seed: of what is held out.

    Raises:
        UsageError: it is none of these, or holds nothing to learn.
        FileAccessError: it cannot be read.
    """
    if data == "digits":
        return digits.read()
    if (urls := shards.urls_of(data)) is not None:
        return shards.read(data, urls)
    path = Path(data)
    if (batches := cifar.batches_of(path)) is not None:
        return cifar.read(path, batches)
    return _pictures(path, share, seed)


def _pictures(path: Path, share: float, seed: int) -> Source:
    inside, apart = (_first_folder(path, names) for names in (_TRAINING, _HELD_OUT))
    data = (open_dataset(path) if inside is None else open_dataset(inside)).refusing_empty()
    classes = ordered(data.classes)
    entries = _entries(data, classes)
    if inside is not None and apart is not None:
        measured = open_dataset(apart).refusing_empty()
        strange = sorted(set(measured.classes) - set(classes))
        if strange:
            shown = ", ".join(strange[:3])
            raise UsageError(f"{apart}: has {counted(len(strange), 'class')} that {inside} lacks: {shown}")
        held_out: Listed | None = Listed(_entries(measured, classes))
        return Source(str(path), classes, Listed(entries), held_out, f"held out: {apart.name}")
    training, held_out = parted(entries, share, seed)
    said = f"held out: {100 * share:g} % of each class" if held_out else "nothing held out"
    return Source(str(path), classes, training, held_out, said)


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """The classes by number: names that count from 0 in their own order, as ``eval`` takes them; others sorted."""
    numbers = {str(number): number for number in range(len(names))}
    return tuple(sorted(names, key=numbers.__getitem__) if set(names) == set(numbers) else sorted(names))


def _first_folder(path: Path, names: Sequence[str]) -> Path | None:
    return next((path / name for name in names if (path / name).is_dir()), None)


def _entries(data: Dataset, classes: Sequence[str]) -> list[Entry]:
    index = {name: number for number, name in enumerate(classes)}
    return [Entry(item.name, item.path, index[item.label]) for item in data]
