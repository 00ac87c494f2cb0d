"""A request's rows on their way: waiting, in a batch, answered; each request is answered exactly once."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[np.generic]]


@dataclass(eq=False)
class Work:
    """The rows of one request.

    Args:
        model: number of the model among those served.
        rows: ``(n, ...)`` in the artifact's dtype.
        arrived: on the loop's clock, in seconds.
        answer: takes the outputs ``(n, ...)``, or what went wrong; whoever asked waits for it, and cancels it when he
            goes: its rows are then not computed.
        until: on the loop's clock, when he will go.

    Attributes:
        deaths: how many processes ended while they had it.
        waited, computed: seconds until its first batch left, and that its last one took.
        batch: rows of its last batch.
    """

    model: int
    rows: NDArray[np.generic]
    arrived: float
    answer: asyncio.Future[Arrays]
    until: float = math.inf
    deaths: int = 0
    waited: float = 0.0
    computed: float = 0.0
    batch: int = 0
    _found: Arrays | None = None
    _missing: int = field(init=False)

    def __post_init__(self) -> None:
        self._missing = len(self.rows)

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answer.done()

    def put(self, first: int, values: Sequence[NDArray[np.generic]]) -> None:
        """Take the outputs of some rows; the last ones answer."""
        if self.over:
            return
        count = len(values[0])
        if count == len(self.rows):
            self.answer.set_result(list(values))
            return
        if self._found is None:
            self._found = [np.empty((len(self.rows), *array.shape[1:]), array.dtype) for array in values]
        for whole, part in zip(self._found, values, strict=True):
            whole[first : first + count] = part
        self._missing -= count
        if not self._missing:
            self.answer.set_result(self._found)

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        if not self.over:
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a request that travel together."""

    work: Work
    first: int
    count: int


@dataclass(eq=False, slots=True)
class Batch:
    """What a device computes at once: pieces, in a gear."""

    model: int
    gear: int
    pieces: list[Piece]

    @property
    def rows(self) -> int:
        """That are asked for."""
        return sum(piece.count for piece in self.pieces)


class Queue:
    """The rows that wait for one model, in their order.

    Attributes:
        rows: that wait.
        earliest: nobody goes before, of those who came since it was empty.
    """

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self.rows, self.earliest = 0, math.inf

    def add(self, work: Work) -> None:
        """Behind all others."""
        self.earliest = min(self.earliest, work.until) if self._pieces else work.until
        self._pieces.append(Piece(work, 0, len(work.rows)))
        self.rows += len(work.rows)

    def give_back(self, piece: Piece) -> None:
        """Before all others."""
        self.earliest = min(self.earliest, piece.work.until)
        self._pieces.appendleft(piece)
        self.rows += piece.count

    def drop_over(self) -> None:
        """Leave out what nobody waits for."""
        self._pieces = deque(piece for piece in self._pieces if not piece.work.over)
        self.rows = sum(piece.count for piece in self._pieces)

    def head(self) -> Work | None:
        """Whose turn it is."""
        while self._pieces and self._pieces[0].work.over:
            self.rows -= self._pieces.popleft().count
        return self._pieces[0].work if self._pieces else None

    def until(self) -> float:
        """When the first goes of those who wait for them."""
        return min((piece.work.until for piece in self._pieces if not piece.work.over), default=math.inf)

    def take(self, most: int) -> list[Piece]:
        """Up to ``most`` rows. What has ended a process travels alone, so that no other is blamed with it."""
        taken: list[Piece] = []
        while most and (work := self.head()) is not None:
            if taken and (work.deaths or taken[0].work.deaths) and work is not taken[0].work:
                break
            piece = self._pieces.popleft()
            self.rows -= piece.count
            if piece.count > most:
                self.give_back(Piece(work, piece.first + most, piece.count - most))
                piece = Piece(work, piece.first, most)
            taken.append(piece)
            most -= piece.count
        return taken

    def clear(self) -> list[Work]:
        """Take all out."""
        works = [piece.work for piece in self._pieces]
        self._pieces.clear()
        self.rows = 0
        return works
