"""What the paper lacks: shifts on and off, cells 4 + 7 against each alone, BatchNorm against LayerNorm, on digits.

Needs scikit-learn. Each variant has the same network otherwise, the same recipe, pictures in the same order, and seeds.
"""

from __future__ import annotations

from experiments.ablation.study import study_on_digits


def main() -> bool:
    """Whether the paper's own choice, the first variant, never diverged."""
    return study_on_digits("architecture_digits")
