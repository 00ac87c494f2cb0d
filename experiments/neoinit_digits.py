"""Section 4.2: NeoInit against random normal cells, reduced to digits; figure 6 as its curves.

Needs scikit-learn and matplotlib. The plan says what is reduced; whole, on CIFAR-10 and a GPU, it is
``python -m experiments.ablation neoinit_cifar10``.
"""

from __future__ import annotations

from experiments.ablation.study import study_on_digits


def main() -> bool:
    """Whether no network with NeoInit diverged."""
    return study_on_digits("neoinit_digits")
