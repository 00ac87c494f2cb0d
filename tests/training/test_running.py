"""Runs of a tiny network: what they write, how they go on, and that nothing but the recipe decides the weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from neonext_ascend import create, jobs, save_pretrained
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.checkpoints.reading import read_checkpoint
from neonext_ascend.errors import CheckpointError, UsageError
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.training.stepping import Trainer
from tests.support.training import SETTINGS, logged, train_minute, weights, write_config, write_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 3 epochs of 3 steps that was never stopped; all of its checkpoints are kept."""
    folder = tmp_path_factory.mktemp("whole")
    train_minute(folder, data, "run", save_every=1, keep=100)
    return folder / "run"


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_leaves_its_files_and_every_command_takes_them(whole: Path, data: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {
        "best.safetensors",
        "last.safetensors",
        "classes.txt",
        "recipe.toml",
        "log.jsonl",
        *(f"step-{step:08d}.pt" for step in range(1, 10)),
    }
    assert (whole / "classes.txt").read_text() == "class 0\nclass 1\n"
    recipe = tomllib.loads((whole / "recipe.toml").read_text())
    assert {name: recipe[name] for name in SETTINGS} == SETTINGS
    config = write_config(whole.parent)
    for name in ("last.safetensors", "best.safetensors", "step-00000009.pt"):
        exported = jobs.export(config=config, checkpoint=whole / name, output=whole.parent / "onnx")
        assert exported.onnx.manifest.weights.trained
    # Of the two state dicts of a checkpoint the averaged one is taken.
    assert same(dict(read_checkpoint(whole / "step-00000009.pt").state), weights(whole))
    held = torch.load(whole / "step-00000009.pt", weights_only=True)
    assert not same(held["model"], held["model_ema"])


def test_the_log_has_losses_rates_and_what_was_measured(data: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    done = train_minute(tmp_path, data, "run", log_every=1, tensorboard=True, watch=jobs.Watch(note=seen.append))
    assert len(logged(tmp_path / "run", "loss")) == 9
    rates = logged(tmp_path / "run", "learning_rate")
    assert rates[:3] == pytest.approx([4e-3 / 3, 8e-3 / 3, 4e-3], rel=1e-12)
    assert rates[-1] < rates[4]
    assert len(logged(tmp_path / "run", "held_out_top1")) == 3
    assert all(0 <= share <= 1 for share in logged(tmp_path / "run", "waiting_for_pictures"))
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert seen[0].startswith(
        f"{data}: 28 pictures of 2 classes (14 a class), 4 held out (held out: 10 % of each class)"
    )
    assert seen[-1].startswith("epoch 3 of 3, 3 steps, ")
    told = done.to_json()
    assert told["num_classes"] == 2
    assert Path(told["weights"]).is_file()
    assert 0 <= told["waiting_for_pictures"] <= 1
    assert done.best is not None
    assert asdict(done.best).keys() == told["held_out"]["best"].keys()


@pytest.mark.parametrize("step", [1, 3, 5, 8])
def test_a_run_that_goes_on_ends_with_the_same_bits(step: int, data: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in (f"step-{step:08d}.pt", "log.jsonl"):
        shutil.copy(whole / name, tmp_path / "run")
    torch.rand(step)  # whatever state torch's generator is in
    train_minute(tmp_path, data, "run", resume=tmp_path / "run", save_every=1, keep=100)
    ours, theirs = (torch.load(f / "step-00000009.pt", weights_only=True) for f in (tmp_path / "run", whole))
    assert json.dumps(ours["run"]) == json.dumps(theirs["run"])
    for part in ("model", "model_ema"):
        assert same(ours[part], theirs[part]), part
    for number, state in theirs["optimiser"]["state"].items():
        assert same(ours["optimiser"]["state"][number], state)
    assert (ours["best"], ours["measured"]) == (theirs["best"], theirs["measured"])
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


def test_a_finished_run_that_goes_on_elsewhere_tells_its_last_score_and_names_what_is_there(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    held = torch.load(whole / "step-00000009.pt", weights_only=True)
    last = {"right": 1, "pictures": 4, "loss": 0.9}
    torch.save({**held, "best": {**last, "right": 4}, "measured": last}, tmp_path / "step-00000009.pt")
    told = train_minute(tmp_path, data, "other", resume=tmp_path / "step-00000009.pt").to_json()
    assert told["held_out"] == {"best": {**last, "right": 4}, "last": last}
    assert told["best_weights"] is None
    assert Path(told["weights"]).is_file()


def test_the_log_of_a_run_that_goes_on_has_each_step_once(data: Path, whole: Path, tmp_path: Path) -> None:
    train_minute(tmp_path, data, "run", log_every=1, save_every=1, keep=100)
    once = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # what a kill leaves
    train_minute(tmp_path, data, "run", resume=tmp_path / "run" / "step-00000004.pt", log_every=1)
    again = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    for old, new in zip(once, again, strict=True):
        timeless = ("step", "epoch", "loss", "learning_rate", "held_out_loss")
        assert {k: json.loads(old).get(k) for k in timeless} == {k: json.loads(new).get(k) for k in timeless}


def test_workers_decode_the_same_pictures_and_leave_ctrl_c_to_the_first_process(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, asked = Trainer.step, list[int]()

    def asking(trainer: Trainer, number: int, *rest: Any) -> Any:
        if number == 1:
            asked.extend(child.pid for child in multiprocessing.active_children() if child.pid)
            for pid in asked:
                os.kill(pid, signal.SIGINT)
        return step(trainer, number, *rest)

    monkeypatch.setattr(Trainer, "step", asking)
    # A test run started in the background hands down an ignored one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train_minute(tmp_path, data, "run", workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(asked) == 2
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()


def test_the_last_few_checkpoints_stay(data: Path, tmp_path: Path) -> None:
    train_minute(tmp_path, data, "run", save_every=2, keep=2)
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pt")) == ["step-00000008.pt", "step-00000009.pt"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"settings": {"epochs": 4}}, "the run goes on as it began, and was given epochs 4, not 3"),
        ({"data": "digits"}, "is a run of another minute: num_classes 2, not 10"),
        ({"checkpoint": "x.pt"}, "both --from and --resume"),
    ],
)
def test_a_run_goes_on_only_as_it_began(
    given: dict[str, Any], says: str, data: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train_minute(tmp_path, **{"data": data, "output": "run", "resume": whole, **given})
    assert says in str(caught.value)


def test_a_checkpoint_of_another_run_is_told(data: Path, whole: Path, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other", each=17)
    with pytest.raises(CheckpointError, match="is a run on other pictures"):
        train_minute(tmp_path, other, "run", resume=whole)
    with pytest.raises(CheckpointError, match="is a run of minute, not neonext_nano"):
        jobs.train("neonext_nano", data=data, resume=whole, output=tmp_path / "run", device="cpu")
    weights_alone = tmp_path / "weights.pt"
    torch.save(weights(whole), weights_alone)
    with pytest.raises(CheckpointError, match="weights alone are given with --from"):
        train_minute(tmp_path, data, "run", resume=weights_alone)


def test_fine_tuning_draws_the_head_anew_and_loads_the_rest(whole: Path, tmp_path: Path) -> None:
    three = write_pictures(tmp_path / "three", classes=3)
    seen: list[str] = []
    frozen = {"freeze": 4, "weight_decay": 0.0, "ema": 0.0, "freeze_norm": True, "layer_decay": 0.5}
    start = whole / "last.safetensors"
    train_minute(tmp_path, three, "run", frozen, checkpoint=start, num_classes=3, watch=jobs.Watch(note=seen.append))
    assert any("of last.safetensors are loaded; the head is drawn anew for 3 classes (it had 2)" in s for s in seen)
    before, after = weights(whole), weights(tmp_path / "run")
    # The running statistics, frozen as well, and every weight but the head's are the checkpoint's.
    assert {
        name
        for name, value in after.items()
        if before[name].shape != value.shape or not torch.equal(before[name], value)
    } == {
        "head.fc.weight",
        "head.fc.bias",
        "head.ln.weight",
        "head.ln.bias",
    }
    found = load(jobs_config(tmp_path), checkpoint=tmp_path / "run" / "last.safetensors")
    assert found.network.config.num_classes == 3


def jobs_config(folder: Path) -> Any:
    from neonext_ascend.checkpoints.loading import read_config

    return read_config(write_config(folder))


def test_a_run_begins_with_a_folder_of_save_pretrained_too(whole: Path, data: Path, tmp_path: Path) -> None:
    save_pretrained(create(jobs_config(tmp_path), checkpoint=whole / "last.safetensors"), tmp_path / "hub")
    seen: list[str] = []
    still = {"learning_rate": 0.0, "floor": 0.0, "ema": 0.0, "freeze_norm": True, "epochs": 1}
    train_minute(tmp_path, data, "run", still, checkpoint=tmp_path / "hub", watch=jobs.Watch(note=seen.append))
    assert any(line.endswith("of model.safetensors are loaded; its head of 2 classes is kept") for line in seen)
    assert same(weights(tmp_path / "run"), weights(whole))


def test_the_head_stays_where_the_classes_do_unless_asked(data: Path, whole: Path, tmp_path: Path) -> None:
    start, still = whole / "last.safetensors", {"learning_rate": 0.0, "floor": 0.0, "ema": 0.0, "freeze_norm": True}
    train_minute(tmp_path, data, "kept", still, checkpoint=start)
    assert same(weights(tmp_path / "kept"), weights(whole))
    train_minute(tmp_path, data, "anew", still, checkpoint=start, num_classes=2)
    assert not torch.equal(weights(tmp_path / "anew")["head.fc.weight"], weights(whole)["head.fc.weight"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_near_fp32(precision: str, data: Path, tmp_path: Path) -> None:
    # One step from the same weights on the same pictures: bf16 has 8 bits of significand, and losses are about 0.7.
    settings = {"epochs": 1, "warmup_epochs": 0}
    for kind in ("fp32", precision):
        train_minute(tmp_path, data, kind, {**settings, "precision": kind}, log_every=1)
    full, half = (logged(tmp_path / kind, "loss") for kind in ("fp32", precision))
    assert full[0] != half[0]
    assert full[0] == pytest.approx(half[0], rel=2**-6)
    assert min(full) > 0


def test_a_compiled_run_gives_the_same_losses(data: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "warmup_epochs": 0}
    for backend in ("none", "aot_eager"):
        train_minute(tmp_path, data, backend, {**settings, "compile": backend}, log_every=1)
    plain, compiled = (logged(tmp_path / kind, "loss") for kind in ("none", "aot_eager"))
    # The same operators in another order: float32's 2^-24 over some hundred sums.
    assert plain == pytest.approx(compiled, rel=1e-5)
    torch._dynamo.reset()


def test_averaged_weights_are_the_formula(data: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "warmup_epochs": 0, "ema": 0.75}
    train_minute(tmp_path, data, "run", settings, save_every=1, keep=10)
    states = [torch.load(tmp_path / "run" / f"step-{n:08d}.pt", weights_only=True) for n in (1, 2, 3)]
    expected = states[0]["model"]["stem.conv.weight"]
    for state in states[1:]:
        expected = 0.75 * expected + 0.25 * state["model"]["stem.conv.weight"]
    assert torch.allclose(states[2]["model_ema"]["stem.conv.weight"], expected, rtol=0, atol=1e-7)


def test_random_cells_and_neoinit_begin_a_run_each(data: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 0.0, "floor": 0.0, "epochs": 1, "ema": 0.0}
    for init in ("neoinit", "random"):
        train_minute(tmp_path, data, init, {**still, "init": init})
    near, far = (weights(tmp_path / init)["stage_1.0.ops.content.neocell.weight_a.1"] for init in ("neoinit", "random"))
    assert float(near.diagonal(dim1=1, dim2=2).mean()) > 0.5
    assert abs(float(far.diagonal(dim1=1, dim2=2).mean())) < 0.6
    assert not torch.equal(near, far)


def test_activations_beyond_fp16_are_warned_of_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    begin = Trainer.begin

    def enlarge(trainer: Trainer) -> None:
        begin(trainer)
        for module in trainer.net.modules():
            if isinstance(module, NeoCell):
                module.weight_a[0].data.mul_(1e5)
                break

    monkeypatch.setattr(Trainer, "begin", enlarge)
    settings = {"epochs": 2, "warmup_epochs": 0, "ema": 0.0, "learning_rate": 0.0, "floor": 0.0}
    train_minute(tmp_path, data, "run", settings, look_every=2, watch=jobs.Watch(warn=seen.append))
    assert seen[0].startswith("step 2: stage_1.0.ops.content.neocell gives ")
    assert "beyond fp16's 65504" in seen[0]
    assert len(seen) == len({line.split(" ")[2] for line in seen})
    assert "stage_1.0.ops.content.neocell" in (tmp_path / "run" / "log.jsonl").read_text()
    quiet: list[str] = []
    monkeypatch.undo()
    train_minute(tmp_path, data, "quiet", settings, look_every=2, watch=jobs.Watch(warn=quiet.append))
    assert quiet == []
