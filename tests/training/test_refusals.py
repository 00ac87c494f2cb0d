"""What cannot be trained on, and what goes wrong on the way: a clear line, its status, and the last good checkpoint."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from neonext_ascend.cli.main import run
from neonext_ascend.errors import DivergedError, FileAccessError, ToolchainError, UsageError
from neonext_ascend.training.feeding import Batch
from neonext_ascend.training.sources import census
from neonext_ascend.training.states import read_run, steps_in
from neonext_ascend.training.stepping import Trainer
from tests.support.training import SETTINGS, train_minute, write_config, write_pictures
from tests.training.test_sources import write_shard


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "data")


def train(folder: Path, data: Path | str, *more: str, model: tuple[str, ...] | None = None) -> int:
    """The command, without a worker."""
    named = ("--config", str(write_config(folder))) if model is None else model
    settings = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    common = ["--workers", "0", "--no-tensorboard", "--device", "cpu", *settings]
    return run(["train", *named, "--data", str(data), "-o", str(folder / "run"), *common, *more])


def test_no_picture_and_one_class_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty" / "a").mkdir(parents=True)
    assert train(tmp_path, tmp_path / "empty") == 2
    assert "the data set holds no picture" in capfd.readouterr().err
    assert train(tmp_path, write_pictures(tmp_path / "one", classes=1)) == 2
    assert "1 class; a classifier needs two or more" in capfd.readouterr().err
    assert train(tmp_path, write_pictures(tmp_path / "few", each=3)) == 2
    assert "batch_size 8: " in capfd.readouterr().err
    assert not list(tmp_path.glob("run/*.pt"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_picture_in_the_middle_stops_with_its_name_and_the_last_checkpoint(
    workers: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = data / "class 1" / "05.png"
    bad.write_bytes(bad.read_bytes()[:300])
    # As in a set of which some heads alone are looked at.
    monkeypatch.setattr(census, "_WHOLE", 0)
    monkeypatch.setattr(census, "_GLANCES", 2)
    with pytest.raises(FileAccessError) as caught:
        train_minute(tmp_path, data, "run", {"seed": 3}, save_every=1, workers=workers)
    kept = steps_in(tmp_path / "run")
    assert str(caught.value).startswith(f"{bad}: ")
    assert kept
    assert str(caught.value).endswith(f"the last good checkpoint is {kept[-1]}")
    assert read_run(kept[-1]).step == len(kept)


def test_nan_stops_before_the_weights_and_names_step_pictures_and_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def poisoned(trainer: Trainer, number: int, rate: float, parts: list[Batch]) -> Any:
        if number == 4:
            parts = [part._replace(x=part.x * torch.nan) for part in parts]
        return step(trainer, number, rate, parts)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(DivergedError) as caught:
        train_minute(tmp_path, data, "run", save_every=2)
    said = str(caught.value)
    assert said.startswith("step 4: the loss is nan; pictures class ")
    assert "and 4 more; the last good checkpoint is " in said
    assert said.endswith("step-00000004.pt")
    assert caught.value.exit_code == 1
    assert all(bool(torch.isfinite(t).all()) for t in read_run(tmp_path / "run").held["model"].values())


def test_weights_that_diverged_are_not_written(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def poisoned(trainer: Trainer, number: int, *rest: Any) -> Any:
        done = step(trainer, number, *rest)
        if number == 1:
            with torch.no_grad():
                next(trainer.net.parameters()).fill_(torch.inf)
        return done

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(
        DivergedError, match=r"step 2: stem\.conv\.weight holds NaN or infinity; the last good .*01\.pt"
    ):
        train_minute(tmp_path, data, "run", save_every=1)
    assert [path.name for path in steps_in(tmp_path / "run")] == ["step-00000001.pt"]


def test_a_picture_at_a_time_is_refused_where_batchnorm_sees_one_value(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, data, "--batch-size", "1") == 2
    assert "batch_size 1: parts of one picture, whose last maps are one pixel each" in capfd.readouterr().err
    assert train(tmp_path, data, "--batch-size", "8", "--accumulation", "8", "--epochs", "1") == 2
    assert train(tmp_path, data, "--batch-size", "1", "--epochs", "1", "--freeze-norm", "--warmup-epochs", "0") == 0
    capfd.readouterr()
    assert train(tmp_path, data, "--batch-size", "9", "--accumulation", "2") == 2
    assert "batch_size 9: 1 process with 2 parts each cannot share it" in capfd.readouterr().err


def test_what_is_no_run_and_what_a_run_cannot_take_is_told_in_a_line(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_minute(tmp_path, data, "run", {"epochs": 1})
    (path,) = steps_in(tmp_path / "run")
    content, held = path.read_bytes(), torch.load(path, weights_only=True)
    place = content.index(held["model"]["stem.conv.weight"].numpy().tobytes())
    damaged = {
        b"": (5, "the file is empty"),
        content[: len(content) // 2]: (5, "the file is truncated"),
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]: (2, "the file is damaged: the checksum"),
    }
    bad = tmp_path / "step-00000001.pt"
    for bytes_, (status, says) in damaged.items():
        bad.write_bytes(bytes_)
        assert train(tmp_path, data, "--epochs", "1", "--resume", str(bad)) == status
        assert says in capfd.readouterr().err
    assert train(tmp_path, data, "--resume", str(data)) == 5
    assert "holds no checkpoint of a run" in capfd.readouterr().err
    run, fits = held["run"], "does not hold what this run goes on from"
    for change, says in (
        ({"step": "x"}, "holds no run to go on with"),
        ({"step": -1}, "holds no run to go on with"),
        ({"run": [1]}, "holds no run to go on with"),
        ({"run": {**run, "network": None}}, "holds no run to go on with"),
        ({"run": {**run, "recipe": 3}}, "its recipe: it is 3"),
        ({"model": {}}, fits),
        ({"model_ema": None}, fits),
        ({"optimiser": {"state": {}, "param_groups": []}}, fits),
        ({"best": [1, 2]}, fits),
        ({"measured": 3}, fits),
    ):
        torch.save({**held, **change}, bad)
        assert train(tmp_path, data, "--epochs", "1", "--resume", str(bad), "-o", str(tmp_path / "other")) == 2, change
        assert not (tmp_path / "other").exists()
        lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, lines
        assert says in lines[0]
    monkeypatch.chdir(tmp_path / "run")  # a folder is a folder, by whatever name
    assert train(tmp_path, data, "--epochs", "1", "--resume", ".", "-o", ".") == 0


@pytest.fixture
def small_files() -> Iterator[Any]:
    """Sets how long a file of this process may become, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    held = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, held)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    data: Path, tmp_path: Path, small_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def filling(trainer: Trainer, number: int, *rest: Any) -> Any:
        if number == 4:
            small_files(5_000)
        return step(trainer, number, *rest)

    monkeypatch.setattr(Trainer, "step", filling)
    with pytest.raises(FileAccessError) as caught:
        train_minute(tmp_path, data, "run", save_every=2)
    small_files(resource.RLIM_INFINITY)
    said = str(caught.value)
    assert "writing failed: " in said
    assert said.count("the last good checkpoint is ") == 1
    assert said.endswith("step-00000004.pt")
    assert "\n" not in said
    assert not list((tmp_path / "run").glob(".neonext-staging-*"))
    monkeypatch.undo()
    # It is: the run goes on from it.
    train_minute(tmp_path, data, "run", resume=tmp_path / "run")
    assert (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize(("content", "code"), [(b"", 5), (b"PK\x03\x04", 5), (b"hello, this is text", 2)])
def test_a_resume_file_that_is_none_is_told(
    content: bytes, code: int, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "step-00000001.pt"
    file.write_bytes(content)
    assert train(tmp_path, data, "--resume", str(file)) == code
    err = capfd.readouterr().err
    assert err.startswith(f"error: {file}: ")
    assert err.count("\n") == 1


def test_a_shard_cut_short_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shard = write_shard(tmp_path / "shards" / "a.tar", range(24))
    assert train(tmp_path, shard, "--epochs", "1", "--warmup-epochs", "0") == 0
    shard.write_bytes(shard.read_bytes()[:9_000])
    capfd.readouterr()
    assert train(tmp_path, shard, "--epochs", "1") == 5
    assert "the shard is cut short" in capfd.readouterr().err


def test_check_data_says_what_is_wrong_and_does_no_more(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, data, "--check-data", model=()) == 0
    assert "28 pictures of 2 classes (14 a class), 4 held out" in capfd.readouterr().out
    (data / "class 1" / "05.png").write_bytes(b"")
    (data / "class 2").mkdir()
    assert train(tmp_path, data, "--check-data", "--json", model=()) == 2
    told = capfd.readouterr()
    found = json.loads(told.out)
    assert found["empty"] == ["class 2"]
    assert [entry["path"] for entry in found["corrupt"]] == ["class 1/05.png"]
    assert "1 class without a picture: class 2" in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"settings": {"sync_norm": True}}, UsageError, "leave it out on a CPU"),
        ({"settings": {"batch_size": 9, "accumulation": 2}}, UsageError, "expected a multiple of 2"),
        ({"num_classes": 5}, UsageError, "num_classes 5: .* has 2 classes"),
        ({"device": "cuda"}, ToolchainError, "device cuda: process 0 of this machine has none"),
        ({"device": "npu"}, ToolchainError, "torch_npu is missing"),
    ],
)
def test_what_a_run_cannot_have_is_told(
    given: dict[str, Any], error: type[Exception], says: str, data: Path, tmp_path: Path
) -> None:
    if given.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(error, match=says):
        train_minute(tmp_path, data, "run", **given)


def test_a_run_that_was_killed_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.kill_training", "3", "1", str(tmp_path / "killed")]
    (tmp_path / "killed").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True, env=os.environ)
    told = json.loads(done.stdout)
    assert told["whole"] == 0
    assert [each["ended"] for each in told["killed"]] == [-signal.SIGKILL] * 3
    assert [each["again"] for each in told["killed"]] == [0] * 3
    assert [each["same"] for each in told["killed"]] == [True] * 3
