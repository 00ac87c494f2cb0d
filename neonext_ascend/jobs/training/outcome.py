"""What came of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.training.measuring import Measured
from neonext_ascend.training.recipe import Recipe
from neonext_ascend.training.states import BEST, LAST


@dataclass(frozen=True)
class Training:
    """What came of a training.

    Args:
        folder: where its files lie.
        network: what was trained.
        recipe: with what.
        classes: names by number.
        best, measured: on the held-out pictures, the best and the last; ``None`` where none are held out.
        seconds: of this run.
        images_per_second, waiting: over the run; the share of its time that went into waiting for pictures.
        told: whether this process tells of it; of several only the first does.
    """

    folder: Path
    network: NetworkConfig
    recipe: Recipe
    classes: tuple[str, ...]
    best: Measured | None
    measured: Measured | None
    seconds: float
    images_per_second: float
    waiting: float
    told: bool = True

    @property
    def weights(self) -> Path:
        """The last weights."""
        return self.folder / LAST

    @property
    def best_weights(self) -> Path | None:
        """Those that named the most held-out pictures rightly; ``None`` where the run resumed has them elsewhere."""
        path = self.folder / BEST
        return path if self.best is not None and path.exists() else None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        measured = {
            name: None if one is None else {"right": one.right, "pictures": one.pictures, "loss": one.loss}
            for name, one in (("best", self.best), ("last", self.measured))
        }
        best = self.best_weights
        return {
            "weights": str(self.weights.absolute()),
            "best_weights": None if best is None else str(best.absolute()),
            "model": self.network.name,
            "num_classes": self.network.num_classes,
            "epochs": self.recipe.epochs,
            "held_out": measured,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "waiting_for_pictures": self.waiting,
        }
