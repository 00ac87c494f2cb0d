"""The paper's Table 2 as the default, number by number, and how settings come to a run."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from neonext_ascend.cli.train import command
from neonext_ascend.cli.train_options import SETTINGS
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.training.recipe import Recipe, from_json, given_settings, names, resolve

# arXiv 2403.11251, Table 2: T, S, B.
TABLE_2 = {
    "learning_rate": (4e-3, 4e-3, 2e-3),
    "batch_size": (4096, 4096, 2048),
    "drop_path": (0.1, 0.4, 0.5),
    "weight_decay": (0.05,) * 3,
    "beta1": (0.9,) * 3,
    "beta2": (0.999,) * 3,
    "epochs": (300,) * 3,
    "warmup_epochs": (20,) * 3,
    "randaugment_ops": (2,) * 3,
    "randaugment_magnitude": (9,) * 3,
    "mixup": (0.8,) * 3,
    "cutmix": (1.0,) * 3,
    "erasing": (0.25,) * 3,
    "label_smoothing": (0.1,) * 3,
    "clip": (0.0,) * 3,
    "ema": (0.0,) * 3,
    "optimiser": ("adamw",) * 3,
    "init": ("neoinit",) * 3,
}


@pytest.mark.parametrize("setting", TABLE_2)
def test_the_defaults_are_the_papers_table(setting: str) -> None:
    found = tuple(getattr(resolve(f"neonext_{letter}", {}), setting) for letter in "tsb")
    assert found == TABLE_2[setting]


def test_definitions_and_sizes_share_their_models_recipe() -> None:
    assert resolve("neonext_s_384.paper", {}) == resolve("neonext_s", {})
    assert resolve("one of my own", {}) == Recipe()
    assert resolve("neonext_l_384", {}) == resolve("neonext_b", {})


def test_the_peak_rate_is_linear_in_the_batch() -> None:
    assert resolve("neonext_t", {}).peak_rate == 4e-3
    assert resolve("neonext_t", {"batch_size": 512}).peak_rate == pytest.approx(5e-4, rel=1e-15)
    assert resolve("neonext_b", {"batch_size": 4096}).peak_rate == pytest.approx(4e-3, rel=1e-15)


def test_options_come_before_the_file_and_the_file_before_the_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('epochs = 10\nclip = 5\nprecision = "bf16"\n')
    recipe = resolve("neonext_s", given_settings(file, {"epochs": 3}))
    assert (recipe.epochs, recipe.clip, recipe.precision, recipe.drop_path) == (3, 5.0, "bf16", 0.4)


@pytest.mark.parametrize("model", ["neonext_t", "neonext_nano"])
def test_the_resolved_set_reads_back_as_itself(model: str, tmp_path: Path) -> None:
    recipe = resolve(model, {"compile": "inductor", "freeze_norm": True})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    read = given_settings(tmp_path / "recipe.toml")
    assert set(read) == set(names())
    assert resolve("neonext_b", read) == recipe
    assert from_json(tomllib.loads(recipe.to_toml()), "here") == recipe


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number from 1 to 1000000"),
        ({"epochs": "3"}, "epochs is '3'"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"optimiser": "lion"}, "optimiser is 'lion'; expected one of adamw, sgd"),
        ({"lr": 1e-3}, "unknown field 'lr'; expected accumulation"),
        ({"freeze_norm": 1}, "freeze_norm is 1; expected true or false"),
    ],
)
def test_a_setting_that_cannot_be_is_told(settings: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        given_settings(None, settings)
    assert says in str(caught.value)
    with pytest.raises(UsageError, match="not TOML"):
        given_settings(_file(tmp_path, "epochs = "), {})
    with pytest.raises(UsageError, match=r"mine\.toml: epochs is 0"):
        given_settings(_file(tmp_path, "epochs = 0"), {})
    with pytest.raises(FileAccessError, match="cannot read the recipe"):
        given_settings(tmp_path / "absent.toml")


def test_every_setting_is_an_option_with_its_help() -> None:
    options = {parameter.name: parameter for parameter in command.params}
    assert set(SETTINGS) == set(names()) <= set(options)
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')}" in options[name].opts
        assert options[name].help, name


def _file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path
