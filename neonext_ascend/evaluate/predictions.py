"""Predictions as they come: from whoever is asked, and from a file that an earlier run has written."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from neonext_ascend.evaluate.journal import Journal, Kind
from neonext_ascend.images.dataset import Item
from neonext_ascend.runtimes.base import Runner
from neonext_ascend.runtimes.classifying import Guess, Prediction, Recipe, class_name, classify

Told = tuple[Item, Prediction]
Ask = Callable[[Iterator[Item]], Generator[Told]]


def predictions(labels: Sequence[str], top: int) -> Kind[Prediction]:
    """What a file keeps of one, without its path: ``[[[index, score], ...], note]``."""

    def read(data: Any) -> Prediction | None:
        match data:
            case [[[int(), float()], *_] as best, str() | None as note]:
                whole = all(isinstance(pair, list) and [type(x) for x in pair] == [int, float] for pair in best)
                if whole and len(best) <= top and all(pair[0] >= 0 for pair in best):
                    guesses = tuple(Guess(index, class_name(labels, index), score) for index, score in best)
                    return Prediction(Path(), guesses, note)
        return None

    expected = "this artifact, its manifest, this runtime and this --top"
    return Kind("prediction", "predict", expected, lambda p: [[[g.index, g.score] for g in p.top], p.note], read)


def asking_here(runner: Runner, recipe: Recipe, top: int) -> Ask:
    """An opened artifact on this machine."""

    def ask(items: Iterator[Item]) -> Generator[Told]:
        items, todo = itertools.tee(items)
        with closing(classify(runner, recipe, (item.path for item in todo), top)) as stream:
            yield from zip(items, stream, strict=True)

    return ask


def answered(paths: Iterator[Path], ask: Ask, journal: Journal[Prediction] | None) -> Generator[Prediction]:
    """In the order of the paths; what the journal knows is not asked, and it takes what becomes known."""
    known: deque[Prediction | None] = deque()  # of what was passed; None is still to come

    def unknown() -> Iterator[Item]:
        for path in paths:
            item = Item(str(path), path, "")
            found = None
            if journal is not None:
                item = item.marked()  # before it is read: what is written meanwhile is asked again
                found = journal.known(item)
            known.append(None if found is None else replace(found, path=path))
            if found is None:
                yield item

    def passed() -> Iterator[Prediction]:
        while known and (found := known[0]) is not None:
            known.popleft()
            yield found

    with closing(ask(unknown())) as stream:
        for item, found in stream:
            yield from passed()
            known.popleft()
            if journal is not None and found.error is None:
                journal.write([(item, found)])
            yield found
    yield from passed()
