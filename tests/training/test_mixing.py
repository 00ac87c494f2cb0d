"""Mixup and CutMix: the draws' distributions, the boxes, and the targets, against known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from neonext_ascend.training.mixing import beta, box, mixed, soft_targets
from neonext_ascend.training.recipe import Recipe

NONE = Recipe(mixup=0.0, cutmix=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(n: int = 4, side: int = 20) -> tuple[Tensor, Tensor]:
    """Each picture all of its own number, and a class of its own."""
    x = torch.arange(1.0, n + 1).view(n, 1, 1, 1).expand(n, 3, side, side).contiguous()
    return x, soft_targets(torch.arange(n), n, 0.0)


def test_smoothed_targets_are_the_formula() -> None:
    got = soft_targets(torch.tensor([2, 0]), 5, 0.1)
    assert torch.allclose(got, torch.tensor([[0.02, 0.02, 0.92, 0.02, 0.02], [0.92, 0.02, 0.02, 0.02, 0.02]]))
    # With these targets cross-entropy is torch's own with label smoothing.
    logits = torch.randn(2, 5, generator=generator())
    ours = torch.nn.functional.cross_entropy(logits, got)
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor([2, 0]), label_smoothing=0.1)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.8, 1.0, 0.2])
def test_the_share_is_drawn_from_a_beta_distribution(alpha: float) -> None:
    drawing = generator()
    draws = [beta(alpha, drawing) for _ in range(3000)]
    # A right sampler falls below this once in a thousand seeds; the seed is fixed.
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_adds_the_reversed_batch_by_the_share_and_the_targets_likewise() -> None:
    x, targets = batch()
    y, mixed_targets = mixed(x, targets, Recipe(mixup=0.8, cutmix=0.0), generator(3))
    share = beta(0.8, generator(3))
    assert torch.allclose(y, share * x + (1 - share) * x.flip(0))
    assert torch.allclose(mixed_targets, share * targets + (1 - share) * targets.flip(0))
    assert 0 < share < 1


def test_cutmix_pastes_a_box_and_the_targets_go_by_its_true_area() -> None:
    x, targets = batch()
    clipped = 0
    for seed in range(40):
        y, mixed_targets = mixed(x, targets, Recipe(mixup=0.0, cutmix=1.0), generator(seed))
        pasted = (y[0, 0] != 1).float().mean()
        assert float(mixed_targets[0, 3]) == pytest.approx(float(pasted), abs=1e-6)
        assert torch.equal(y[0, 0] == 4, y[0, 0] != 1)
        assert torch.allclose(mixed_targets.sum(1), torch.ones(4))
        clipped += abs(float(pasted) - (1 - beta(1.0, generator(seed)))) > 0.1
    assert clipped > 0  # boxes that leave the picture were among them


def test_a_box_has_the_paper_side_and_stays_inside() -> None:
    tops = []
    for seed in range(200):
        top, bottom, left, right = box(0.75, 224, 112, generator(seed))
        assert 0 <= top <= bottom <= 224
        assert 0 <= left <= right <= 112
        assert bottom - top <= 112  # sqrt(1 - 0.75) = 1/2 of each side
        assert right - left <= 56
        tops.append(top)
    assert len(set(tops)) > 50
    assert box(1.0, 8, 8, generator())[0] == box(1.0, 8, 8, generator())[1]


def test_a_coin_decides_between_the_two() -> None:
    x, targets = batch()
    cut = 0
    for seed in range(400):
        y, _ = mixed(x, targets, Recipe(), generator(seed))
        cut += bool(np.isin(y.numpy(), [1.0, 2.0, 3.0, 4.0]).all())
    # 400 throws of a fair coin: 5 standard deviations are 50.
    assert abs(cut - 200) < 50


def test_without_either_the_batch_is_itself() -> None:
    x, targets = batch()
    y, same = mixed(x, targets, NONE, generator())
    assert y is x
    assert same is targets
    assert math.isclose(float(same.sum()), 4)
