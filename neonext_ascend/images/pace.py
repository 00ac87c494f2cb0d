"""Where the time goes with pictures: waiting until they are decoded, or in the models."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass
class Pace:
    """Seconds as they pass.

    Args:
        images: pictures that were asked about; those that a resumed file knew do not count.
        waiting: seconds in which no picture was ready. Decoding goes on while a model runs, and is not counted then.
        models: seconds in the models.
    """

    images: int = 0
    waiting: float = 0.0
    models: float = 0.0

    def ready(self, pictures: Iterator[_T]) -> Iterator[_T]:
        """Pass pictures on, and count the wait for each."""
        while True:
            start = time.perf_counter()
            try:
                picture = next(pictures)
            except StopIteration:
                return
            finally:
                self.waiting += time.perf_counter() - start
            yield picture

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside as the models' time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.models += time.perf_counter() - start

    @property
    def decoding(self) -> float:
        """The share of time that went into waiting, from 0 to 1."""
        return self.waiting / max(self.waiting + self.models, 1e-9)

    @property
    def images_per_second(self) -> float:
        """Through all models together."""
        return self.images / max(self.waiting + self.models, 1e-9)

    def to_json(self) -> dict[str, Any] | None:
        """Figures; ``None`` where nothing was asked."""
        if not self.images:
            return None
        limit = "decoding" if self.decoding > 0.5 else "model"
        return {
            "images": self.images,
            "images_per_second": self.images_per_second,
            "waiting_for_pictures": self.decoding,
            "limit": limit,
        }
