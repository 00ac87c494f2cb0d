"""The table of networks: exact counts, the paper's published figures, and sizes that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from neonext_ascend.checkpoints.loading import network_config
from neonext_ascend.cost.count import count_network
from neonext_ascend.errors import UsageError
from neonext_ascend.models.config import DEFINITIONS, DefinitionName, size_text, with_image_size
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.models.variants import VARIANTS, find_variant
from tests.support.networks import small_config, tiny_config


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("neonext_t", 27_532_552),
        ("neonext_s", 49_270_792),
        ("neonext_b", 86_804_840),
        ("neonext_t_384", 27_532_552),
        ("neonext_s_384", 49_270_792),
        ("neonext_b_384", 86_804_840),
        ("neonext_l_384", 193_539_112),
        ("neonext_t.paper", 27_567_496),
        ("neonext_s.paper", 49_264_264),
        ("neonext_b.paper", 86_796_136),
    ],
)
def test_a_network_has_exactly_the_parameters_of_its_definition(name: str, params: int) -> None:
    assert count_network(find_variant(name).config).params == params


@pytest.mark.parametrize("name", VARIANTS)
def test_the_count_of_parameters_is_that_of_the_torch_module(name: str) -> None:
    config = VARIANTS[name].config
    with torch.device("meta"):
        network = NeoNeXt(config)
    assert count_network(config).params == sum(p.numel() for p in network.parameters())


# The paper's Table 1: parameters in millions, GFLOPs at 224 and 384.
TABLE_1 = [("t", "27.7", "4.40", "13.27"), ("s", "49.6", "8.60", "25.71"), ("b", "87.3", "15.19", "45.21")]


@pytest.mark.parametrize(("letter", "params", "at_224", "at_384"), TABLE_1)
def test_table_1_of_the_paper_is_met_to_the_printed_digit(letter: str, params: str, at_224: str, at_384: str) -> None:
    small = count_network(find_variant(f"neonext_{letter}.table1").config)
    large = count_network(find_variant(f"neonext_{letter}_384.table1").config)
    assert (f"{small.params / 1e6:.1f}", f"{large.params / 1e6:.1f}") == (params, params)
    assert (f"{small.dense_bn5 / 1e9:.2f}", f"{large.dense_bn5 / 1e9:.2f}") == (at_224, at_384)


@pytest.mark.parametrize(
    ("name", "pointwise", "sparse", "dense", "dense_bn5"),
    [
        ("neonext_t.table1", "4.220", "4.247", "4.384", "4.3982"),
        ("neonext_s.table1", "8.382", "8.428", "8.584", "8.6047"),
        ("neonext_b.table1", "14.895", "14.956", "15.164", "15.1915"),
    ],
)
def test_each_convention_gives_its_own_figure(
    name: str, pointwise: str, sparse: str, dense: str, dense_bn5: str
) -> None:
    macs = count_network(find_variant(name).config).macs
    assert list(macs) == ["pointwise", "sparse", "dense", "dense_bn5"]
    shown = [f"{macs[key] / 1e9:.3f}" for key in ("pointwise", "sparse", "dense")]
    assert [*shown, f"{macs['dense_bn5'] / 1e9:.4f}"] == [pointwise, sparse, dense, dense_bn5]


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_counted_operations_are_those_that_a_running_network_makes(definition: DefinitionName) -> None:
    # 128 x 256 gives maps of 32x64 to 4x8, all multiples of 4: no cell is cropped, and `sparse` is exact.
    config = replace(
        tiny_config(definition), cells=((4,), (4,), (2, 4), (4,)), shifts=(False,) * 4, image_size=(128, 256)
    )
    network, made = build(config), {"pointwise": 0, "cells": 0, "bn": 0}

    def measure(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            made["pointwise"] += output.numel() * module.weight[0].numel()
        elif isinstance(module, NeoCell):
            height, width = inputs[0].shape[-2:]
            left, right = module.matrices(height, width)
            made["cells"] += int(left.count_nonzero()) * width + int(right.count_nonzero()) * output.shape[-2]
        elif isinstance(module, nn.BatchNorm2d):
            made["bn"] += output.numel()

    for module in network.modules():
        module.register_forward_hook(measure)
    with FlopCounterMode(display=False) as flops:
        network(torch.zeros(1, 3, 128, 256))
    count = count_network(config)
    assert count.pointwise == made["pointwise"]
    assert count.sparse == made["pointwise"] + made["cells"]
    assert 2 * count.dense == flops.get_total_flops()
    assert count.dense_bn5 - count.dense == 5 * made["bn"]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("neonext-t", "neonext_t"),
        ("NeoNeXt_S", "neonext_s"),
        ("neonext_t_385", "neonext_t_384"),
        ("neonext_b.tabel1", "neonext_b.table1"),
        ("neonext_nanno", "neonext_nano"),
    ],
)
def test_a_wrong_name_suggests_the_near_one(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown model '{wrong}': did you mean {near}"):
        find_variant(wrong)


def test_a_name_that_is_near_nothing_points_to_the_list() -> None:
    with pytest.raises(UsageError, match="unknown model 'resnet50': see neonext-ascend list"):
        find_variant("resnet50")


def test_the_table_has_every_model_by_its_own_name() -> None:
    released = [f"neonext_{m}" for m in ("t", "s", "b", "t_384", "s_384", "b_384", "l_384")]
    others = [f"{name}.{definition}" for definition in ("paper", "table1") for name in released]
    assert list(VARIANTS) == [*released, *others, "neonext_nano"]
    assert all(name == variant.config.name for name, variant in VARIANTS.items())


def test_only_the_released_networks_at_384_shift_in_the_last_stage() -> None:
    last = {name for name, variant in VARIANTS.items() if variant.config.shifts == (True, True, True, True)}
    assert last == {"neonext_t_384", "neonext_s_384", "neonext_b_384", "neonext_l_384"}
    others = {variant.config.shifts for name, variant in VARIANTS.items() if name not in last}
    assert others == {(True, True, True, False)}
    assert all(VARIANTS[name].config.image_size == (384, 384) for name in last)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((225, 225), ["image size 225", "multiples of 4", "near 225: 224"]),
        ((228, 226), ["image size 228x226", "multiples of 4", "228x224"]),
        ((0, 0), ["image size 0", "positive multiples of 4"]),
        ((-4, 224), ["image size -4x224", "positive multiples of 4"]),
        ((16, 16), ["image size 16 is too small for neonext_t", "stage 1", "4x4 map", "take at least 96"]),
        ((224, 92), ["image size 224x92 is too small", "stage 3", "14x5 map", "take at least 96"]),
    ],
)
def test_an_image_size_that_the_network_cannot_take_is_refused(size: tuple[int, int], words: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        with_image_size(find_variant("neonext_t").config, size)
    assert [word for word in words if word not in str(refusal.value)] == []


@pytest.mark.parametrize("name", ["neonext_t", "neonext_t_384", "neonext_t.paper", "neonext_nano"])
def test_the_smallest_size_is_taken_and_nothing_below_it(name: str) -> None:
    config = find_variant(name).config
    smallest = config.smallest_size()
    tiny = replace(tiny_config(), cells=config.cells, shifts=config.shifts, image_size=(smallest, smallest))
    assert build(tiny)(torch.zeros(1, 3, smallest, smallest)).shape == (1, tiny.num_classes)
    with_image_size(config, (smallest, smallest))
    with pytest.raises(UsageError, match=f"take at least {smallest}"):
        with_image_size(config, (smallest - 4, smallest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"definition": "publication"}, "definition 'publication' is unknown; expected one of release, paper, table1"),
        ({"depths": (1, 1, 2)}, "small: depths has 3 entries; a NeoNeXt has 4 stages"),
        ({"shifts": (True,) * 5}, "small: shifts has 5 entries"),
        ({"cells": ((4, 7),) * 3}, "small: cells has 3 entries"),
        ({"depths": (1, 0, 2, 1)}, "small: depths, widths and num_classes must be at least 1"),
        ({"num_classes": 0}, "small: depths, widths and num_classes must be at least 1"),
        ({"widths": (1, 32, 64, 128)}, "1 channels cannot be split over cell sizes [4, 7]"),
        ({"cells": ((4, 0), (4,), (4,), (4,))}, "every size of a cell is at least 1"),
    ],
)
def test_a_configuration_that_no_network_can_have_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        replace(small_config(), **change)
    assert words in str(refusal.value)


def test_a_configuration_survives_the_manifest() -> None:
    config = small_config((228, 236))
    assert network_config(config.to_json()) == config


@pytest.mark.parametrize(("size", "text"), [((224, 224), "224"), ((224, 320), "224x320")])
def test_a_size_is_shown_as_short_as_it_can_be(size: tuple[int, int], text: str) -> None:
    assert size_text(size) == text
