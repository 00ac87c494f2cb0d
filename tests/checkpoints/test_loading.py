"""A network by name, by configuration file or by its checkpoint alone, and what its origin says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import neonext_ascend
from neonext_ascend.artifacts.staging import sha256_of
from neonext_ascend.checkpoints.contents import read_contents
from neonext_ascend.checkpoints.loading import create, load, read_config
from neonext_ascend.checkpoints.reading import Checkpoint, load_network
from neonext_ascend.data import NANO_WEIGHTS, data_path
from neonext_ascend.errors import CheckpointError, FileAccessError, UsageError
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.models.variants import find_variant
from tests import DATA
from tests.support.networks import small_config, small_network, tiny_config

SMALL = DATA / "small_release_ema.pt"
NANO = data_path(NANO_WEIGHTS)


def state_of(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return NeoNeXt(find_variant(name).config).state_dict()


@pytest.mark.parametrize(
    ("name", "fitting", "label"),
    [
        ("neonext_t", ["neonext_t", "neonext_t_384"], "NeoNeXt-T"),
        ("neonext_l_384", ["neonext_l_384"], "NeoNeXt-L"),
        ("neonext_s.paper", ["neonext_s.paper", "neonext_s_384.paper"], "NeoNeXt-S (paper definition)"),
        ("neonext_b.table1", ["neonext_b.table1", "neonext_b_384.table1"], "NeoNeXt-B (table1 definition)"),
        ("neonext_nano", ["neonext_nano"], "neonext_nano"),
    ],
)
def test_keys_and_shapes_name_exactly_the_networks_that_fit(name: str, fitting: list[str], label: str) -> None:
    contents = read_contents(state_of(name), Path("weights.pt"))
    assert contents.fitting() == fitting
    assert contents.label() == label
    assert contents.definition() == ("paper" if name.endswith("table1") else find_variant(name).config.definition)


@pytest.mark.parametrize(
    ("held", "asked", "words"),
    [
        ("neonext_s", "neonext_t", ["holds NeoNeXt-S", "stage 3 has 27 blocks, neonext_t has 9"]),
        ("neonext_t", "neonext_b", ["holds NeoNeXt-T", "stage 1 has 96 channels, neonext_b has 128"]),
        (
            "neonext_t",
            "neonext_t.paper",
            [
                "stage 4 has 4+7 cells, neonext_t.paper has 7",
                "it has biases in its linear layers, neonext_t.paper has none",
                "it has LayerScale",
                "it has down-sampling with the 1x1 convolution first",
            ],
        ),
        ("neonext_t.paper", "neonext_t", ["NeoNeXt-T (paper definition)", "it has no LayerScale, neonext_t has them"]),
    ],
)
def test_another_network_is_refused_in_words(held: str, asked: str, words: list[str]) -> None:
    state, path = state_of(held), Path("weights.pt")
    checkpoint = Checkpoint(path, "", state, read_contents(state, path), ())
    with pytest.raises(CheckpointError) as refusal:
        load_network(find_variant(asked).config, checkpoint)
    assert [word for word in words if word not in str(refusal.value)] == []


def test_a_name_without_a_checkpoint_gives_seeded_weights() -> None:
    loaded = load(tiny_config(), seed=3)
    assert (loaded.weights.source, loaded.weights.seed, loaded.weights.trained) == ("seed", 3, False)
    assert loaded.notes == ()
    assert not loaded.network.training
    same = build(tiny_config(), 3).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in loaded.network.state_dict().items())


def test_nano_comes_with_its_trained_weights() -> None:
    loaded = load("neonext_nano")
    assert (loaded.weights.source, loaded.weights.file, loaded.weights.trained) == ("package", NANO_WEIGHTS, True)
    assert loaded.weights.sha256 == sha256_of(NANO)


def test_a_checkpoint_is_named_with_its_hash() -> None:
    loaded = load(small_config(), checkpoint=SMALL)
    weights = loaded.weights
    assert (weights.source, weights.file, weights.seed, weights.trained) == ("checkpoint", SMALL.name, None, True)
    assert weights.sha256 == sha256_of(SMALL)


def test_create_is_the_face_of_the_package_and_takes_plain_values() -> None:
    network = neonext_ascend.create("neonext_nano", image_size=128)
    assert isinstance(network, NeoNeXt)
    assert network.config.image_size == (128, 128)
    assert create("neonext_nano", image_size=(96, 128)).config.image_size == (96, 128)
    assert create(small_config(), checkpoint=str(SMALL)).config == small_network().config
    assert create(tiny_config(), num_classes=3).config.num_classes == 3


def test_a_checkpoint_alone_names_its_network_where_one_fits() -> None:
    loaded = load(checkpoint=NANO, image_size=(128, 128))
    assert loaded.network.config == replace(find_variant("neonext_nano").config, image_size=(128, 128))
    assert loaded.weights.source == "checkpoint"


def test_a_checkpoint_that_fits_several_networks_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({key: torch.zeros(t.shape, dtype=torch.half) for key, t in state_of("neonext_t").items()}, path)
    with pytest.raises(CheckpointError, match=r"it fits neonext_t and neonext_t_384; .* name the one") as refusal:
        load(checkpoint=path)
    assert refusal.value.exit_code == 2
    path.unlink()  # 55 MB, which pytest would keep for a while


def test_a_checkpoint_of_an_unknown_network_comes_with_the_configuration_to_use(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="depths 1,1,2,1; widths 16,32,64,128") as refusal:
        load(checkpoint=SMALL)
    assert refusal.value.exit_code == 2
    toml = tmp_path / "network.toml"
    toml.write_text("\n".join(line.strip() for line in str(refusal.value).splitlines()[1:]))
    config = read_config(toml)
    assert config == small_config(name="mine")
    assert load(config, checkpoint=SMALL).network.config == config


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": None}, "neither a model nor a checkpoint"),
        ({"model": "neonext_q"}, "unknown model 'neonext_q': did you mean"),
        ({"model": "neonext_nano", "num_classes": 7}, f"7 classes asked for, but {NANO_WEIGHTS} holds 10"),
        ({"model": "neonext_nano", "num_classes": 0}, "num_classes 0: expected a whole number"),
        ({"model": tiny_config(), "num_classes": 0}, "num_classes 0: expected a whole number"),
        ({"model": tiny_config(), "num_classes": -1}, "num_classes -1: expected a whole number"),
        ({"model": "neonext_nano", "image_size": (225, 225)}, "image size 225"),
        ({"model": tiny_config(), "image_size": (64, 96)}, "image size 64x96 is too small for tiny"),
        ({"model": "neonext_t", "image_size": (225, 225), "checkpoint": Path("absent.pt")}, "image size 225"),
        ({"model": None, "checkpoint": NANO, "image_size": (64, 64)}, "image size 64 is too small for neonext_nano"),
        ({"model": small_config(), "checkpoint": SMALL, "num_classes": 1000}, "small_release_ema.pt holds 10"),
    ],
)
def test_what_cannot_be_is_refused_as_wrong_usage(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        load(**arguments)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "size", "notes"),
    [
        (
            "neonext_t",
            (384, 384),
            ("neonext_t at 384 keeps its shifts 1,1,1,0; the published 384 network is neonext_t_384 with 1,1,1,1",),
        ),
        ("neonext_t", (256, 256), ()),
        ("neonext_t", (384, 256), ()),
        ("neonext_t.paper", (384, 384), ()),  # its 384 network has the same shifts
        ("neonext_t_384", (384, 384), ()),
    ],
)
def test_a_size_at_which_another_network_was_published_is_noted(
    name: str, size: tuple[int, int], notes: tuple[str, ...]
) -> None:
    # Its name and shifts on a small network: nothing of full size has to be drawn.
    config = replace(find_variant(name).config, depths=(1, 1, 1, 1), widths=(8, 8, 12, 16))
    assert load(config, image_size=size).notes == notes


TOML = """name = "mine"\ndefinition = "release"\ndepths = [1, 1, 2, 1]\nwidths = [16, 32, 64, 128]\n"""


def test_a_configuration_file_needs_no_more_than_its_network(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text(TOML)
    assert read_config(path) == replace(small_config(name="mine"), num_classes=1000)
    path.write_text(TOML + "image_size = [96, 128]\nnum_classes = 10\nshifts = [false, false, false, false]\n")
    assert read_config(path) == small_config((96, 128), (False,) * 4, "mine")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("release", "publication", "definition is 'publication'; expected one of paper, release, table1"),
        ('"release"', '["release"]', "definition is ['release']; expected one of"),
        ("depths = [1, 1, 2, 1]", "", "depths is missing; expected a list of 4, one for each stage"),
        ("depths = [1, 1, 2, 1]", "depths = [1, 1]", "depths is [1, 1]; expected a list of 4, one for each stage"),
        ("depths = [1, 1, 2, 1]", "depths = [1, 1, 2, 1.5]", "depths[3] is 1.5; expected a whole number from 1 to 128"),
        ("depths = [1, 1, 2, 1]", "depths = 9", "depths is 9; expected a list of 4"),
        ("depths", "deepness", "unknown field 'deepness'"),
        ('"mine"', '"../mine"', "name is '../mine'; expected letters, digits"),
        ('"mine"', "3", "name is 3; expected letters"),
        ('"mine"', '"mine', "not TOML"),
        ("widths", "image_size = true\nwidths", "image_size is True; expected one number or [height, width]"),
        ("widths", "image_size = [1, 2, 3]\nwidths", "image_size is [1, 2, 3]; expected one number or [height, width]"),
        ("widths", "shifts = [1, 1, 1, 0]\nwidths", "shifts[0] is 1; expected true or false"),
        ("widths", "cells = [4, 7, 7, 7]\nwidths", "cells[0] is 4; expected a list"),
        ("widths", "num_classes = inf\nwidths", "num_classes is inf; expected a whole number from 1 to 1000000"),
        ("widths", "depths = [1]\nwidths", "not TOML: Cannot overwrite a value (at line 4, column"),
        ("widths", f"num_classes = {'9' * 5000}\nwidths", "not TOML: a number of very many digits (at line 4)"),
        ("widths", f"image_size = {'[' * 5000}\nwidths", "not TOML: maximum recursion depth exceeded"),
        (
            "widths",
            "[cells]\nwidths",
            "cells is {'widths': [16, 32, 64, 128]}; expected a list of 4, one for each stage",
        ),
        ("widths", "image_size = [96, 0]\nwidths", "image_size[1] is 0; expected a whole number from 1 to 1000000"),
        ("widths", "num_classes = 0\nwidths", "num_classes is 0; expected a whole number from 1 to 1000000"),
    ],
)
def test_a_wrong_configuration_file_is_refused_with_its_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "network.toml"
    path.write_text(TOML.replace(old, new))
    with pytest.raises(UsageError) as refusal:
        read_config(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert words in str(refusal.value)


def test_a_configuration_file_that_cannot_be_read_is_not_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="No such file"):
        read_config(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not TOML"):
        read_config(tmp_path / "binary.toml")
