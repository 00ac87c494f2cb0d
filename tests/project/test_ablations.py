"""Ablations: one training with one thing changed is done once, goes on where it stopped, and is told as it came out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from experiments.ablation import running
from experiments.ablation.norms import ChannelNorm, replace_batch_norms
from experiments.ablation.plan import PLANS, Plan, Training, read_plan
from experiments.ablation.results import curves, difference, rows
from experiments.ablation.running import result_file, run_all, run_one
from experiments.ablation.study import CURVES, study
from experiments.block_diagonal import rows as rows_of_stages
from experiments.page import IMAGES, PAGE, kept, renewed
from neonext_ascend.errors import NeoNextError, UsageError
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import find_variant
from neonext_ascend.training.loop import Run
from tests.support.pictures import assert_same_picture
from tests.support.training import CONFIG, write_pictures

ON_DIGITS = ("neoinit_digits", "architecture_digits")
TINY = f"""\
data = "pictures"
seeds = [3]

[network]
{CONFIG}
[recipe]
epochs = 2
optimiser = "sgd"
learning_rate = 0.05
batch_size = 8
base_batch = 8
warmup_epochs = 1
crop = 1.0
flip = 0.0
randaugment_ops = 0
mixup = 0.0
cutmix = 0.0
erasing = 0.0

[variants."as it is"]

[variants."LayerNorm, random"]
norm = "layer"
recipe.init = "random"

[variants.wild]
recipe.learning_rate = 1e6
recipe.warmup_epochs = 0
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Plan:
    data = write_pictures(tmp_path / "pictures")
    (tmp_path / "tiny.toml").write_text(TINY)
    return read_plan(tmp_path / "tiny.toml", str(data))


def test_a_training_is_done_once_and_told_with_the_rest(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "build" / "tiny"
    results = [run_one(training, folder, "cpu") for training in tiny.trainings]
    assert [result["diverged"] for result in results] == [False, False, True]
    assert "loss is nan" in results[2]["why"] or "NaN or infinity" in results[2]["why"]
    assert len(results[0]["top1_by_epoch"]) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{t.stem}.json" for t in tiny.trainings)
    monkeypatch.setattr(running, "_trained", lambda *_: pytest.fail("it was done before"))
    monkeypatch.setattr("experiments.ablation.study.BUILD", tmp_path / "build")
    assert study(tmp_path / "tiny.toml", str(tmp_path / "pictures"), "cpu", kept=False)
    told = capsys.readouterr().out
    assert "3 trainings, 3 of them done before" in told
    assert told.splitlines()[-2].startswith("| wild | ")
    assert told.splitlines()[-2].endswith(" | 1 of 1 |")


def test_what_was_interrupted_goes_on_to_the_same_end(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = tiny.trainings[0]
    expected = run_one(training, tmp_path / "whole", "cpu")
    steps: list[int] = []
    step = Run._epoch

    def stopping(run: Run, epoch: int, *rest: Any) -> None:
        steps.append(epoch)
        if len(steps) == 2:
            raise KeyboardInterrupt
        step(run, epoch, *rest)

    monkeypatch.setattr(Run, "_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_one(training, tmp_path / "cut", "cpu")
    assert not result_file(training, tmp_path / "cut").exists()
    assert {**run_one(training, tmp_path / "cut", "cpu"), "seconds": 0} == {**expected, "seconds": 0}
    assert steps == [0, 1, 1]


def test_two_commands_share_what_there_is_to_do(tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def slow(training: Training, *_: Any) -> dict[str, Any]:
        begun.append(training.stem)
        time.sleep(0.2)  # long enough for the other one to find the training begun
        return {"right": 1.0}

    monkeypatch.setattr(running, "_trained", slow)
    with ThreadPoolExecutor(2) as two:
        asked = [two.submit(run_one, tiny.trainings[0], tmp_path / "both", "cpu") for _ in range(2)]
    assert [one.result() for one in asked] == [{"right": 1.0, "variant": "as it is"}] * 2
    assert begun == [tiny.trainings[0].stem]


def test_layer_norm_stands_where_batch_norm_stood() -> None:
    net = build(find_variant("neonext_nano").config)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert replace_batch_norms(net) == norms == 10
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    x = torch.randn(2, 12, 5, 3, generator=torch.Generator().manual_seed(0))
    y = ChannelNorm(12)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 5, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(2, 5, 3), rtol=1e-4, atol=0)
    assert net(torch.zeros(1, 3, 96, 96)).shape == (1, 10)


def test_a_plan_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for wrong, words in (
        (TINY.replace('norm = "layer"', 'norm = "group"'), "norm is 'group'; expected one of batch, layer"),
        (TINY.replace("seeds", "seed"), "seeds is missing|unknown field 'seed'"),
        (TINY.replace("[3]", "3"), "seeds is 3; expected a list"),
        (TINY.replace("[3]", "[]"), "expected a list of 1 or more"),
        (TINY.replace("[3]", "[3, 3]"), "seeds names one twice"),
        (TINY.replace("epochs = 2", "epochs = 2\nseed = 7"), "recipe.seed: is one of seeds; leave it out"),
        (TINY.replace("recipe.init", "recipe.seed = 7\nrecipe.init"), "recipe.seed: is one of seeds"),
        (TINY.replace("[recipe]", "[[recipe]]"), "recipe is "),
        (TINY.replace("[network]", "variants = 3\n[network]").partition("[variants")[0], "variants is 3"),
        (TINY.partition("[variants")[0] + "[variants]", "variants is empty"),
        (TINY + "[variants.a]\nnetwork = 3", "variants.a: network is 3"),
        (TINY + "[variants.a]\nrecipe = 3", "variants.a: recipe is 3"),
        (TINY.partition("[variants")[0] + "[variants]\na = 3", "variants.a: it is 3"),
        (TINY.replace("recipe.init", "recipe.inti"), "inti"),
        (TINY.replace("depths", "depth"), "depth"),
    ):
        (tmp_path / "wrong.toml").write_text(wrong)
        with pytest.raises(UsageError, match=words):
            read_plan(tmp_path / "wrong.toml")


def test_what_cannot_be_trained_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    trainings = read_plan(tmp_path / "tiny.toml", str(tmp_path / "absent")).trainings
    # Threads: a process of its own takes seconds to begin.
    monkeypatch.setattr(running, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    with pytest.raises(NeoNextError, match="no such data set"):
        run_all(trainings, tmp_path / "build", "cpu")
    assert not (tmp_path / "build").exists()


def test_the_whole_ablation_is_the_papers() -> None:
    plan = read_plan(PLANS / "neoinit_cifar10.toml")
    assert [training.recipe.seed for training in plan.trainings[::2]] == [0, 1, 2, 3, 4]
    for training in plan.trainings:
        assert training.network == find_variant("neonext_t.paper").config
        recipe = training.recipe
        assert (recipe.epochs, recipe.optimiser, recipe.beta1, recipe.batch_size) == (25, "sgd", 0.9, 64)
        assert (recipe.peak_rate, recipe.warmup_epochs, recipe.floor) == (0.1, 1, 0.0)
    assert [training.recipe.init for training in plan.trainings] == ["neoinit", "random"] * 5


# What is told


def results(right: list[int | None], variant: str) -> list[dict[str, Any]]:
    """Of 100 pictures; ``None`` diverged."""
    return [
        {"variant": variant, "seed": seed, "right": r or 10, "pictures": 100, "loss": 0.5, "diverged": r is None}
        | {"parameters": 1234, "top1_by_epoch": [0.1, (r or 10) / 100]}
        for seed, r in enumerate(right)
    ]


def test_a_difference_is_that_of_pairs_with_its_interval() -> None:
    first = results([90, 91, 92, 93, None], "a")
    other = results([91, 93, 92, None, 99], "b")
    gain = difference(first, other)
    assert gain is not None
    # 1, 2 and 0 more; their deviation is 1; Student's t for two degrees of freedom is 4.303.
    assert gain == pytest.approx((1.0, 4.302653 / 3**0.5), rel=1e-6)
    assert difference(first[:1], other) is None


def test_the_table_leaves_out_what_diverged_and_counts_it() -> None:
    lines = rows({"trainings": results([90, 92, None], "a") + results([None, None, None], "b")})
    assert lines[2] == "| a | 1,234 | 91.00 | 1.41 | 90.00 to 92.00 | 0.5000 |  | 1 of 3 |"
    assert lines[3] == "| b | 1,234 |  |  |  |  |  | 3 of 3 |"


@pytest.mark.parametrize("name", [*ON_DIGITS, "block_diagonal"])
def test_the_page_says_what_the_committed_figures_say(name: str) -> None:
    page, document = PAGE.read_text(encoding="utf-8"), kept(name)
    lines = rows_of_stages(document["stages"]) if name == "block_diagonal" else rows(document)
    assert renewed(page, name, lines) == page, f"run: python -m experiments {name}"
    changed = [line.replace("| 1", "| 2") for line in lines]
    assert renewed(page, name, changed) != page


@pytest.mark.parametrize("name", ON_DIGITS)
def test_the_committed_figures_are_those_of_the_committed_plan(name: str) -> None:
    plan, document = read_plan(PLANS / f"{name}.toml"), kept(name)
    done = [(result["variant"], result["seed"]) for result in document["trainings"]]
    assert done == [(training.variant, training.recipe.seed) for training in plan.trainings]
    assert all(len(r["top1_by_epoch"]) == plan.trainings[0].recipe.epochs or r["why"] for r in document["trainings"])


@pytest.mark.parametrize("name", CURVES)
def test_the_curves_are_those_of_the_figures(name: str) -> None:
    assert_same_picture((IMAGES / f"{name}.svg").read_text(encoding="utf-8"), curves(kept(name), CURVES[name]))
