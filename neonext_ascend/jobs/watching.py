"""How a job tells what it does while it works; by default it is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

# Entered for each long step with its name; gives a function that takes a line about it.
Working = Callable[[str], AbstractContextManager[Callable[[str], None]]]


@contextmanager
def _silent(_: str) -> Iterator[Callable[[str], None]]:
    yield lambda _: None


@dataclass(frozen=True)
class Watch:
    """Who is told.

    Args:
        working: of each long step.
        note: of what the user should know before the result is there.
        warn: of what may be wrong.
        made: of each artifact, when it is there.
    """

    working: Working = _silent
    note: Callable[[str], None] = lambda _: None
    warn: Callable[[str], None] = lambda _: None
    made: Callable[[Any], None] = lambda _: None


SILENT = Watch()
