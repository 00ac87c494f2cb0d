"""Batches for one process: entries in the order of the epoch, decoded and augmented ahead by workers."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError, counted
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.training.draws import seed_of
from neonext_ascend.training.pictures import Augmentation
from neonext_ascend.training.recipe import Recipe
from neonext_ascend.training.sources.entries import Entry, Part, decoded


class Sample(NamedTuple):
    """An entry and the seed of its augmentation; ``None`` to prepare it as for evaluation."""

    entry: Entry
    seed: int | None


class Batch(NamedTuple):
    """Pictures ``(N, 3, H, W)``, the numbers of their classes ``(N)``, and their names."""

    x: Tensor
    labels: Tensor
    names: list[str]


@dataclass(frozen=True, slots=True)
class Split:
    """How the pictures of one step are shared: parts in a row, ``accumulation`` of them for each process.

    Args:
        batch_size: pictures of a step in all.
        accumulation: parts of each process.
        rank, world: this process, and their number.

    Raises:
        UsageError: the batch cannot be shared so.
    """

    batch_size: int
    accumulation: int
    rank: int
    world: int

    def __post_init__(self) -> None:
        parts = self.world * self.accumulation
        if self.batch_size % parts:
            raise UsageError(
                f"batch_size {self.batch_size}: {counted(self.world, 'process')} with "
                f"{counted(self.accumulation, 'part')} each cannot share it; expected a multiple of {parts}"
            )

    @property
    def size(self) -> int:
        """Pictures of a part."""
        return self.batch_size // (self.world * self.accumulation)

    @property
    def parts(self) -> range:
        """Numbers of this process's parts; what is drawn for a part goes by its number, whoever takes it."""
        return range(self.rank * self.accumulation, (self.rank + 1) * self.accumulation)


class Pictures(Dataset[Any]):
    """Samples to rows, in a worker: the sampler hands it whole samples in place of numbers."""

    def __init__(self, augmentation: Augmentation) -> None:
        self._augmentation = augmentation

    def __getitem__(self, sample: Sample) -> tuple[Tensor, Entry] | NeoNextError:
        """The prepared picture; an error takes its place, and is raised where it can be told of."""
        entry = sample.entry
        try:
            image = decoded(entry)
            if sample.seed is None:
                x = torch.from_numpy(self._augmentation.prepare(image))
            else:
                x = self._augmentation(image, sample.seed)
        except NeoNextError as error:
            return error
        return x, Entry(entry.name, b"", entry.label)


class Order:
    """The training batches of this process, epoch for epoch.

    Args:
        part: the entries.
        recipe: its seed decides the order.
        split: which of them are this process's.
    """

    def __init__(self, part: Part, recipe: Recipe, split: Split) -> None:
        self._part, self._seed, self._split = part, recipe.seed, split
        self.steps = sum(part.counts.values()) // split.batch_size
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return (self.steps - self.first) * self._split.accumulation

    def __iter__(self) -> Iterator[list[Sample]]:
        epoch, total, size = self.epoch, self._split.batch_size, self._split.size
        entries = self._part.shuffled(self._seed, epoch, self.first * total)
        for step in range(self.first, self.steps):
            batch = list(islice(entries, total))
            for number in self._split.parts:
                places = range(number * size, (number + 1) * size)
                yield [
                    Sample(batch[place], seed_of(self._seed, "picture", epoch, step * total + place))
                    for place in places
                ]


class Plain:
    """The batches that this process measures on: each entry once, over all processes."""

    def __init__(self, part: Part, size: int, rank: int, world: int) -> None:
        self._part, self._size, self._place = part, size, (rank, world)

    def __iter__(self) -> Iterator[list[Sample]]:
        entries = self._part.plain(*self._place)
        while batch := [Sample(entry, None) for entry in islice(entries, self._size)]:
            yield batch


def loader(order: Order | Plain, recipe: Recipe, prepare: Preprocessing, workers: int) -> DataLoader[Any]:
    """A loader whose iterations follow ``order``; training keeps its workers from epoch to epoch."""
    return DataLoader(
        Pictures(Augmentation(recipe, prepare)),
        batch_sampler=order,  # of whole samples: they need not be numbers
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_begin_worker,
        persistent_workers=workers > 0 and isinstance(order, Order),
    )


def _begin_worker(_: int) -> None:
    """Ctrl-C on a terminal reaches every process; the first one decides when this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def batches(loaded: DataLoader[Any]) -> Generator[Batch]:
    """What a loader gives.

    Raises:
        FileAccessError, UsageError: a picture cannot be read, or a worker was ended.
    """
    with warnings.catch_warnings():
        # More workers than cores are the user's choice; the share of waiting tells what came of it.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        rows = iter(loaded)
    while True:
        try:
            batch = next(rows)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            what = "a worker that decodes pictures was ended; it may lack memory, or shared memory in a container"
            raise FileAccessError(f"{what}: take fewer --workers") from error
        if isinstance(batch, NeoNextError):
            raise batch
        yield batch


def _collate(rows: Sequence[tuple[Tensor, Entry] | NeoNextError]) -> Batch | NeoNextError:
    read = []
    for row in rows:
        if isinstance(row, NeoNextError):
            return row
        read.append(row)
    labels = torch.tensor([entry.label for _, entry in read])
    return Batch(torch.stack([x for x, _ in read]), labels, [entry.name for _, entry in read])
