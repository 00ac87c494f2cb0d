"""Two processes of gloo, as torchrun starts them, against one that takes both halves of each batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neonext_ascend.training.states import steps_in
from tests.support.training import SETTINGS, logged, train_minute, weights, write_config, write_pictures

# Both sum the same numbers in float32, in another order: 2^-24 for each of some hundred sums of a loss, and as the
# weights of one step are what the next one starts with, a little more with each of six steps.
TOLERANCE = 2e-6
TWICE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "neonext_ascend"]


def together(folder: Path, data: Path, output: str, *more: str) -> Path:
    """The command, in two processes."""
    given = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = ["train", "--config", str(write_config(folder)), "--data", str(data), "-o", str(folder / output), *given]
    common = ["--workers", "0", "--no-tensorboard", "--device", "cpu", "--log-every", "1", "--epochs", "2", *more]
    done = subprocess.run(
        [*TWICE, *words, *common],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("after 2 epochs") == 1  # one of them speaks
    return folder / output


def test_two_processes_give_the_losses_of_one_that_normalises_the_same_halves(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    two = together(tmp_path, data, "two")
    train_minute(tmp_path, data, "one", {"accumulation": 2, "epochs": 2}, log_every=1)
    losses = logged(two, "loss")
    assert len(losses) == 6
    assert losses == pytest.approx(logged(tmp_path / "one", "loss"), rel=TOLERANCE)
    # The network is measured with the first process's statistics, and by both.
    assert torch.load(steps_in(two)[-1], weights_only=True)["best"]["pictures"] == 4
    train_minute(tmp_path, data, "whole", {"epochs": 2}, log_every=1)
    assert losses != pytest.approx(logged(tmp_path / "whole", "loss"), rel=1e-4)


def test_with_batchnorm_frozen_they_give_the_plain_global_batchs(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data")
    # What pairs pictures of a part, or drops a branch by the part's number, sees other parts.
    alike = {"freeze_norm": True, "mixup": 0.0, "cutmix": 0.0, "drop_path": 0.0}
    words = ["--freeze-norm", "--mixup", "0", "--cutmix", "0", "--drop-path", "0"]
    two = together(tmp_path, data, "two", *words)
    train_minute(tmp_path, data, "one", {**alike, "epochs": 2}, log_every=1)
    assert logged(two, "loss") == pytest.approx(logged(tmp_path / "one", "loss"), rel=TOLERANCE)
    for name, value in weights(tmp_path / "one").items():
        # AdamW divides by the root of squares: where a gradient is near 0, its sign is rounding's, and a step of the
        # learning rate's size follows it.
        assert torch.allclose(value, weights(two)[name], rtol=0, atol=1e-4), name
