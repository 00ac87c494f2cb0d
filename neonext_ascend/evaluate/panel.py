"""Opened artifacts that are asked about the same pictures: each decoded once, prepared for each, in batches."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import NeoNextError
from neonext_ascend.evaluate.accuracy import Answer
from neonext_ascend.images.dataset import Item
from neonext_ascend.images.decoding import DECODERS, read_pictures
from neonext_ascend.images.pace import Pace
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Recipe, batch_size, scored

if TYPE_CHECKING:
    from PIL.Image import Image

# Pictures asked about between two writings of a file, at least; and at most, but for a larger batch.
_FEWEST, _MOST = 32, 256
MOST_DECODERS = 16
_Row = NDArray[np.float32 | np.uint8]
# A picture by its number in the data set, and what each artifact says of it or why it cannot be read.
Told = tuple[int, Item, tuple[Answer, ...] | NeoNextError]
Ask = Callable[[Iterator[tuple[int, Item]], Pace], Generator[list[Told]]]
Member = tuple[Runner, Recipe, Callable[[NDArray[np.float64], str], Answer]]


class Panel:
    """Those that are asked.

    Args:
        members: what runs, what its pictures and answers mean, and what scores ``(classes)`` say of a class's picture.
        decoders: pictures decoded at once; as many as CPUs by default.

    Attributes:
        together: pictures that are asked about at once: whole batches of each, where they are not too many.
    """

    def __init__(self, members: Sequence[Member], decoders: int = 0) -> None:
        self._members = members
        sizes = [batch_size(runner) for runner, *_ in members]
        together = math.lcm(*sizes) if math.lcm(*sizes) <= _MOST else max(sizes)
        self.together = together * -(-_FEWEST // together)
        self._decoders = decoders or min(max(DECODERS, len(os.sched_getaffinity(0))), MOST_DECODERS)
        # Each way of preparing once, however many artifacts share it.
        self._ways = list(dict.fromkeys(recipe.preprocessing for _, recipe, _ in members))

    def answers(self, numbered: Iterator[tuple[int, Item]], pace: Pace) -> Generator[list[Told]]:
        """In batches, in order, but that a picture which cannot be read is told at once.

        Raises:
            ArtifactError: a network gives NaN or infinity.
        """
        items, todo = itertools.tee(numbered)
        waiting: list[tuple[int, Item, tuple[_Row, ...]]] = []
        paths = (item.path for _, item in todo)
        with closing(read_pictures(paths, self._prepare, self._decoders)) as pictures:
            for (_, picture), (number, item) in zip(pace.ready(pictures), items, strict=True):
                if isinstance(picture, NeoNextError):
                    yield [(number, item, picture)]
                    continue
                waiting.append((number, item, picture.value))
                if len(waiting) == self.together:
                    yield self._asked(waiting, pace)
                    waiting = []
        if waiting:
            yield self._asked(waiting, pace)

    def _prepare(self, image: Image) -> tuple[_Row, ...]:
        return tuple(way(image) for way in self._ways)

    def _asked(self, pictures: Sequence[tuple[int, Item, tuple[_Row, ...]]], pace: Pace) -> list[Told]:
        said = []
        with pace.running():
            for runner, recipe, answer in self._members:
                way = self._ways.index(recipe.preprocessing)
                scores = scored(runner, recipe, [rows[way] for *_, rows in pictures])
                said.append([answer(row, item.label) for row, (_, item, _) in zip(scores, pictures, strict=True)])
        answers = zip(*said, strict=True)
        return [(number, item, each) for (number, item, _), each in zip(pictures, answers, strict=True)]
