"""The learning rate at each step: a linear rise, then half a cosine down to the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neonext_ascend.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Schedule:
    """A function of the step alone: there is no state to save.

    Args:
        peak, floor: largest learning rate, and the one that the cosine falls to.
        warmup, total: steps.
    """

    peak: float
    floor: float
    warmup: int
    total: int

    @classmethod
    def of(cls, recipe: Recipe, steps_an_epoch: int) -> Schedule:
        """The recipe's."""
        total = recipe.epochs * steps_an_epoch
        return cls(recipe.peak_rate, recipe.floor, min(recipe.warmup_epochs * steps_an_epoch, total), total)

    def rate(self, step: int) -> float:
        """At ``step``, counted from 0: ``peak (step + 1) / warmup``, then a cosine that begins at ``peak``."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        floor = min(self.floor, self.peak)
        done = (step - self.warmup) / max(self.total - self.warmup, 1)
        return floor + (self.peak - floor) * (1 + math.cos(math.pi * done)) / 2
