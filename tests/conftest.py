"""What every test shares: one thread a worker, the same examples in every run, two networks, and a stand-in card."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from neonext_ascend.models.neonext import NeoNeXt
from tests.support.forgetting import forget
from tests.support.networks import small_network, tiny_network
from tests.support.one_thread import one_thread

# Workers of pytest-xdist share the cores; more threads in each, or in what they start, would only wait for one another.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
one_thread()

# No deadline: how long an example takes is the machine's affair. The same examples in every run: a failure repeats.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("house")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: a sitting of a benchmark, which collects garbage first, need not walk them."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """The same random numbers in every run, whatever ran before: a failure repeats."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def small() -> NeoNeXt:
    """The small network with golden weights at 224; a fresh one for each test."""
    return small_network()


@pytest.fixture
def tiny() -> NeoNeXt:
    """The tiny network with weights of order 1 at 96; a fresh one for each test."""
    return tiny_network()


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the stand-in toolkit, atc, device (310P3) and acl."""
    from tests.standins import acl
    from tests.standins.toolkit import make_toolkit

    for name, value in make_toolkit(tmp_path / "cann").items():
        monkeypatch.setenv(name, value)
    acl.reset()
    monkeypatch.setitem(sys.modules, "acl", acl)


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the extra [report]."""
    forget(monkeypatch, "matplotlib.")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
