"""What every test shares: one thread a worker, the same examples in every run, and two networks."""

from __future__ import annotations

import hypothesis
import pytest
import torch

from neonext_ascend.models.neonext import NeoNeXt
from tests.networks import small_network, tiny_network

# Workers of pytest-xdist share the cores; more threads in each would only wait for one another.
torch.set_num_threads(1)

# No deadline: how long an example takes is the machine's affair. The same examples in every run: a failure repeats.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("house")


@pytest.fixture
def small() -> NeoNeXt:
    """The small network with golden weights at 224; a fresh one for each test."""
    return small_network()


@pytest.fixture
def tiny() -> NeoNeXt:
    """The tiny network with weights of order 1 at 96; a fresh one for each test."""
    return tiny_network()
