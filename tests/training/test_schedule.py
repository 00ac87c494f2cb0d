"""The learning rate at given steps, what decays, how deep a layer lies, and what drops how often."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from neonext_ascend.models.layers import DropPath, LayerScale
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.training.grouping import freeze, layer_of, make_optimiser, parameter_groups, set_rate, set_training
from neonext_ascend.training.recipe import Recipe, resolve
from neonext_ascend.training.schedule import Schedule
from neonext_ascend.training.starting import draw_cells_at_random, fresh
from tests.support.networks import tiny_config

IMAGENET = 1_281_167


def test_the_rate_of_the_papers_run_at_given_steps() -> None:
    steps = IMAGENET // 4096  # 312 an epoch, 93,600 in all, 6,240 of warm-up
    schedule = Schedule.of(resolve("neonext_t", {"floor": 0.0}), steps)
    assert (steps, schedule.warmup, schedule.total) == (312, 6240, 93_600)
    expected = {
        0: 4e-3 / 6240,
        3119: 2e-3,
        6239: 4e-3,
        6240: 4e-3,
        6240 + 43_680: 2e-3,  # half-way down the cosine
        6240 + 29_120: 3e-3,  # a third of the way: (1 + cos 60 degrees) / 2 = 3/4
        6240 + 58_240: 1e-3,
    }
    for step, rate in expected.items():
        assert schedule.rate(step) == pytest.approx(rate, rel=1e-12), step
    assert schedule.rate(93_599) == pytest.approx(4e-3 * (math.pi / 2 / 87_360) ** 2, rel=1e-6)


def test_the_cosine_ends_at_the_floor_and_a_warm_up_may_be_all() -> None:
    schedule = Schedule(peak=1.0, floor=0.1, warmup=0, total=10)
    assert schedule.rate(0) == 1.0
    assert schedule.rate(5) == pytest.approx(0.55, rel=1e-12)
    assert schedule.rate(10) == pytest.approx(0.1, rel=1e-12)
    assert Schedule.of(Recipe(epochs=2, warmup_epochs=20), 5).warmup == 10


def test_matrices_and_cells_decay_and_nothing_else() -> None:
    net = build(tiny_config())
    groups = parameter_groups(net, Recipe())
    found = {name: group["weight_decay"] for group in groups for name in group["names"]}
    expected = {}
    for place, module in net.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            decays = isinstance(module, nn.Linear | nn.Conv2d | nn.ParameterList) and name != "bias"
            expected[f"{place}.{name}"] = 0.05 if decays else 0.0
    assert found == expected
    assert {type(m) for m in net.modules()} >= {NeoCell, LayerScale, nn.BatchNorm2d, nn.LayerNorm}
    assert sorted((g["weight_decay"], g["scale"]) for g in groups) == [(0.0, 1.0), (0.05, 1.0)]


def test_earlier_layers_learn_slower_by_the_layer_decay() -> None:
    net = build(VARIANTS["neonext_nano"].config)  # 6 blocks: layers 0 to 7
    depths = net.config.depths
    of_layer = {"stem.conv.weight": 0, "stage_1.0.ops.content.norm.weight": 1, "downsample_1.conv.weight": 2}
    of_layer |= {
        "stage_2.0.ops.content.fc_1.bias": 2,
        "stage_2.1.ops.content.fc_1.bias": 3,
        "downsample_3.conv.weight": 6,
    }
    of_layer |= {"stage_4.0.ops.content.fc_1.bias": 6, "head.ln.weight": 7, "head.fc.weight": 7}
    assert {name: layer_of(name, depths) for name in of_layer} == of_layer
    optimiser = make_optimiser(net, Recipe(layer_decay=0.5))
    set_rate(optimiser, 1.0)
    rates = {p: group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert set(rates) == set(net.parameters())
    for name, layer in of_layer.items():
        assert rates[net.get_parameter(name)] == 0.5 ** (7 - layer), name


def test_the_optimisers_are_the_recipes() -> None:
    adamw = make_optimiser(build(tiny_config()), Recipe())
    assert isinstance(adamw, torch.optim.AdamW)
    assert {group["betas"] for group in adamw.param_groups} == {(0.9, 0.999)}
    sgd = make_optimiser(build(tiny_config()), Recipe(optimiser="sgd"))
    assert isinstance(sgd, torch.optim.SGD)
    assert {group["momentum"] for group in sgd.param_groups} == {0.9}


@pytest.mark.parametrize(("model", "last"), [("neonext_t", 0.1), ("neonext_s", 0.4), ("neonext_b", 0.5)])
def test_drop_path_grows_linearly_to_the_papers_rate(model: str, last: float) -> None:
    config, recipe = VARIANTS[model].config, resolve(model, {})
    with torch.device("meta"):
        net = NeoNeXt(config, recipe.drop_path)
    blocks = sum(config.depths)
    rates = [module.probability for module in net.modules() if isinstance(module, DropPath)]
    # The first block's is 0, and there no layer stands.
    assert rates == pytest.approx([last * number / (blocks - 1) for number in range(1, blocks)], rel=1e-12)


def test_frozen_stages_neither_learn_nor_keep_statistics() -> None:
    net = build(tiny_config())
    freeze(net, 2)
    set_training(net, Recipe(freeze=2))
    learning = {name.partition(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learning == {"stage_3", "stage_4", "downsample_2", "downsample_3", "head"}
    assert not net.get_submodule("stem.norm").training
    assert not net.get_submodule("downsample_1.norm_1").training
    assert net.get_submodule("downsample_2.norm_1").training
    set_training(net, Recipe(freeze_norm=True))
    assert {type(m) for m in net.modules() if not m.training} == {nn.BatchNorm2d}


def test_a_fresh_network_takes_the_recipes_layer_scale_and_initialisation() -> None:
    config = VARIANTS["neonext_nano"].config
    net = fresh(config, resolve("neonext_nano", {"drop_path": 0.2}))
    assert {float(v) for m in net.modules() if isinstance(m, LayerScale) for v in m.gamma.detach()} == {
        float(torch.tensor(0.1))
    }
    assert any(isinstance(module, DropPath) for module in net.modules())
    assert torch.equal(net.get_parameter("head.fc.weight"), build(config, 0).get_parameter("head.fc.weight"))
    big = build(tiny_config())
    draw_cells_at_random(big, 1)
    for module in big.modules():
        if isinstance(module, NeoCell) and module.weight_a[0].shape[1] == module.weight_a[0].shape[2]:
            for weight in map(torch.Tensor.detach, (*module.weight_a, *module.weight_b)):
                k = weight.shape[-1]
                # A cell has at least 64 numbers: their deviation is within a quarter of 1/sqrt(k).
                assert float(weight.std()) == pytest.approx(k**-0.5, rel=0.35)
                assert abs(float(weight.diagonal(dim1=1, dim2=2).mean())) < 0.5
