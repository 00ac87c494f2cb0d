"""Two processes of gloo, as torchrun starts them, against one that takes both halves of each batch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from neonext_ascend.errors import NeoNextError, ToolchainError
from neonext_ascend.training.processes import Team, team
from neonext_ascend.training.recipe import Recipe
from neonext_ascend.training.states import Identity, Shelf, steps_in
from tests.support.networks import tiny_config
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
        timeout=900,
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


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun would start it, but joined to nothing."""
    for key, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(key, value)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *_: None)


def test_no_tensor_is_left_in_the_hands_of_a_thread_of_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a thread, kept from running until Python ended, aborted the process."""
    dropped: list[str] = []

    def late(tensor: torch.Tensor, *_: int) -> None:
        # The graph alone holds it, as gloo's work does: not through Python.
        work = [torch.ones((), dtype=tensor.dtype, requires_grad=True) * tensor]

        def drop() -> None:
            dropped.append("one")
            work.clear()

        threading.Timer(0.2, drop).start()

    for name in ("all_reduce", "broadcast"):
        monkeypatch.setattr(torch.distributed, name, late)
    of_two = Team(1, 2, torch.device("cpu"))
    assert of_two.summed(1.0, 2.0) == [1.0, 2.0]
    assert len(dropped) == 1
    of_two.share(iter([torch.ones(2), torch.ones(3)]))
    assert len(dropped) == 3


@pytest.mark.usefixtures("second_of_two")
def test_who_is_left_alone_says_so_and_keeps_its_own_faults() -> None:
    with pytest.raises(ToolchainError, match="process 1: another process of the run ended"), team("cpu"):
        raise RuntimeError("[third_party/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    with pytest.raises(RuntimeError, match="of our own"), team("cpu"):
        raise RuntimeError("of our own")


def test_who_writes_no_checkpoint_names_the_last_one_all_the_same(tmp_path: Path) -> None:
    of = Identity.of(tiny_config(), Recipe(), ("a", "b"), "", 2)
    first, second = (Shelf(tmp_path, 1, of) for _ in range(2))
    assert second.last_words() == "there is no checkpoint yet"
    for step in (1, 2):
        before = first.last_words()
        second.knows(step)
        assert second.last_words() == before
        first.save(step, {"model": {"weight": torch.zeros(1)}})
        assert first.last_words() == second.last_words() == f"the last good checkpoint is {steps_in(tmp_path)[-1]}"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"RANK": "x"}, "RANK='x' in the environment: expected a number, as torchrun sets it"),
        ({"RANK": "0", "LOCAL_RANK": "-1"}, "LOCAL_RANK='-1' in the environment"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2 in the environment, and the others cannot be joined: "),
    ],
)
def test_what_torchrun_would_not_tell_is_refused(
    told: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(key, raising=False)
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(NeoNextError) as caught, team("cpu"):
        pass
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


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
