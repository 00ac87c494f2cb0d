"""The whole network against the authors' answers, its state dict, its randomness and its training mode."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neonext_ascend.checkpoints.loading import create
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.config import STAGES, DefinitionName
from neonext_ascend.models.layers import DropPath
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.models.neonext import NeoNeXt, build, redraw_at_order_one
from neonext_ascend.models.variants import find_variant
from tests import DATA
from tests.support.networks import (
    SHIFTS_224,
    SHIFTS_384,
    noise,
    relative_error,
    small_network,
    tiny_config,
    tiny_network,
)


@torch.no_grad()
def answer(network: NeoNeXt, x: Tensor) -> Tensor:
    y: Tensor = network(x)
    return y


@pytest.mark.parametrize(
    ("file", "size", "shifts"),
    [
        ("small_release_io.npz", (224, 224), SHIFTS_224),
        ("small_release_io.npz", (256, 256), SHIFTS_224),
        ("small_release_io.npz", (228, 236), SHIFTS_224),
        ("small_release_shift1111_io.npz", (384, 384), SHIFTS_384),
    ],
)
def test_the_network_answers_as_the_authors_code_did(
    file: str, size: tuple[int, int], shifts: tuple[bool, ...]
) -> None:
    golden, key = np.load(DATA / file), f"{size[0]}x{size[1]}"
    y = answer(small_network(size, shifts), torch.from_numpy(golden[f"x_{key}"]))
    # Measured 2e-7: fp32 sums in another order. One wrong matrix gives more than 1e-3.
    assert relative_error(y, golden[f"logits_{key}"]) < 1e-6


def test_other_shifts_load_the_same_weights_and_answer_wrongly() -> None:
    golden = np.load(DATA / "small_release_shift1111_io.npz")
    y = answer(small_network((384, 384), SHIFTS_224), torch.from_numpy(golden["x_384x384"]))
    assert relative_error(y, golden["logits_384x384"]) > 1e-3


BLOCK_KEYS = {
    *(f"neocell.weight_{side}.{group}" for side in "ab" for group in (0, 1)),
    *(f"norm.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    *(f"fc_{n}.{name}" for n in (1, 2) for name in ("weight", "bias")),
    "layer_scale.gamma",
}


@pytest.mark.parametrize(
    ("name", "keys"), [("neonext_t", 286), ("neonext_s", 538), ("neonext_b", 538), ("neonext_l_384", 538)]
)
def test_the_state_dict_has_the_keys_of_the_authors_checkpoints(name: str, keys: int) -> None:
    config = find_variant(name).config
    with torch.device("meta"):
        state = NeoNeXt(config).state_dict()
    assert len(state) == keys
    in_blocks = {re.sub(r"^stage_\d\.\d+\.ops\.content\.", "", key) for key in state if key.startswith("stage_")}
    assert in_blocks == BLOCK_KEYS
    width = config.widths[0]
    shapes = {
        "stem.conv.weight": (width, 48, 1, 1),
        "stage_1.0.ops.content.neocell.weight_a.0": (width // 2, 4, 4),
        "stage_1.0.ops.content.neocell.weight_b.1": (width // 2, 7, 7),
        "downsample_1.conv.weight": (2 * width, width, 1, 1),
        "downsample_1.neocell.weight_a.0": (2 * width, 1, 2),
        "downsample_1.neocell.weight_b.0": (2 * width, 2, 1),
        "downsample_1.norm_1.running_var": (2 * width,),
        "head.ln.weight": (8 * width,),
        "head.fc.weight": (1000, 8 * width),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_the_norms_divide_by_the_authors_epsilon(tiny: NeoNeXt) -> None:
    # Too small for the golden logits to tell 1e-6 from 1e-5 in the head.
    assert {m.eps for m in tiny.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}
    assert {m.eps for m in tiny.modules() if isinstance(m, nn.LayerNorm)} == {1e-6}


def test_a_seed_gives_the_same_weights_and_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (build(tiny_config(), seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["stem.conv.weight"], other["stem.conv.weight"])
    assert not build(tiny_config()).training


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    layer, samples, probability = DropPath(0.25), 10_000, 0.25
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        y = layer(torch.ones(samples, 2, 3))
    assert torch.equal(y.amin((1, 2)), y.amax((1, 2)))
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    # The mean of a kept sample's 1 / 0.75 has a standard deviation of sqrt(p / (1 - p) / n); six of them.
    assert abs(float(y.mean()) - 1) < 6 * (probability / (1 - probability) / samples) ** 0.5
    x = noise(4, 2)
    assert torch.equal(layer.eval()(x), x)


def test_drop_path_grows_from_nothing_to_the_last_block() -> None:
    layers = [m for m in NeoNeXt(tiny_config(), drop_path=0.3).modules() if isinstance(m, DropPath)]
    assert [layer.probability for layer in layers] == pytest.approx([0.1, 0.2, 0.3])  # the first block drops nothing
    assert not any(isinstance(m, DropPath) for m in NeoNeXt(tiny_config()).modules())


def test_every_parameter_is_trained(tiny: NeoNeXt) -> None:
    tiny.train()(noise(2, 3, 96, 96)).square().sum().backward()
    without = [name for name, p in tiny.named_parameters() if p.grad is None or not p.grad.count_nonzero()]
    assert without == []


@pytest.mark.parametrize(
    ("definition", "order"),
    [
        ("release", ["Conv2d", "NeoCell", "BatchNorm2d"]),
        ("paper", ["NeoCell", "BatchNorm2d", "GELU", "Conv2d", "BatchNorm2d", "GELU"]),
        ("table1", ["NeoCell", "BatchNorm2d", "GELU", "Conv2d", "BatchNorm2d", "GELU"]),
    ],
)
def test_each_definition_downsamples_in_its_own_order(definition: DefinitionName, order: list[str]) -> None:
    network = tiny_network(definition)
    for stage in range(1, STAGES):
        assert [type(layer).__name__ for layer in network.get_submodule(f"downsample_{stage}").children()] == order
    y = answer(network, noise(2, 3, 96, 96))
    assert y.shape == (2, 5)
    assert torch.isfinite(y).all()


def transpose_a_right_matrix(network: nn.Module, stage: int) -> None:
    cell = network.get_submodule(f"stage_{stage}.0.ops.content.neocell")
    assert isinstance(cell, NeoCell)
    with torch.no_grad():
        cell.weight_b[0].copy_(cell.weight_b[0].mT.clone())


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_a_wrong_matrix_hides_in_a_fresh_network_and_shows_in_one_of_order_one(stage: int) -> None:
    # The reason why parity is checked on a redrawn twin: LayerScale 1e-6 hides what a fresh block computes.
    x = noise(2, 3, 96, 96)
    network = build(tiny_config())
    before = answer(network, x)
    transpose_a_right_matrix(network, stage)
    assert relative_error(answer(network, x), before) < 1e-5
    redraw_at_order_one(network)
    before = answer(network, x)
    transpose_a_right_matrix(network, stage)
    assert relative_error(answer(network, x), before) > 1e-3


def test_redrawing_reaches_every_tensor_and_repeats() -> None:
    fresh, one, two = (build(tiny_config("release")) for _ in range(3))
    redraw_at_order_one(one, seed=5)
    redraw_at_order_one(two, seed=5)
    state, redrawn, again = fresh.state_dict(), one.state_dict(), two.state_dict()
    same = [key for key in state if torch.equal(state[key], redrawn[key])]
    assert [key for key in same if not key.endswith("num_batches_tracked")] == []
    assert all(torch.equal(redrawn[key], again[key]) for key in redrawn)


def test_the_packaged_network_names_held_out_digits() -> None:
    digits = np.load(DATA / "digits.npz")
    prepare = preprocessing_for("neonext_nano", (96, 96))
    x = np.stack([prepare(Image.fromarray(pixels)) for pixels in digits["pixels"]])
    network = create("neonext_nano")
    named = torch.cat([answer(network, part).argmax(1) for part in torch.from_numpy(x).chunk(6)])
    right = int((named.numpy() == digits["labels"]).sum())
    assert len(digits["labels"]) == 360
    assert right >= 0.98 * 360  # 360 of 360 when it was trained
