"""What is done to a picture: by its seed alone, by a library, and ours against known values."""

from __future__ import annotations

import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from neonext_ascend.errors import ToolchainError
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.training import libraries
from neonext_ascend.training.draws import seed_of
from neonext_ascend.training.pictures import Augmentation, crop_box
from neonext_ascend.training.recipe import Recipe, resolve

PREPARE = Preprocessing((32, 48), mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
PLAIN = Recipe(crop=1.0, flip=0.0, randaugment_ops=0, erasing=0.0)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))


@pytest.fixture(autouse=True)
def library_anew() -> Any:
    libraries.library.cache_clear()
    yield
    libraries.library.cache_clear()


def test_without_augmentation_it_is_the_evaluations_picture() -> None:
    got = Augmentation(PLAIN, PREPARE)(PICTURE, 3)
    assert torch.allclose(got, torch.from_numpy(PREPARE(PICTURE)), atol=1e-6)


@pytest.mark.parametrize("recipe", [Recipe(), resolve("neonext_nano", {})], ids=["paper", "nano"])
def test_a_picture_follows_from_its_seed_alone(recipe: Recipe) -> None:
    augmentation = Augmentation(recipe, PREPARE)
    once = [augmentation(PICTURE, seed) for seed in (1, 2, 3)]
    torch.rand(5)
    again = [augmentation(PICTURE, seed) for seed in (3, 2, 1)]
    for one, other in zip(once, reversed(again), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(once[0], once[1])
    assert once[0].shape == (3, 32, 48)
    assert once[0].dtype == torch.float32


def test_random_erasing_makes_a_part_the_mean_as_often_as_the_recipe_says() -> None:
    augmentation = Augmentation(Recipe(crop=1.0, flip=0.0, randaugment_ops=0, erasing=0.25), PREPARE)
    plain = Augmentation(PLAIN, PREPARE)(PICTURE, 0)
    erased = []
    for seed in range(400):
        changed = (augmentation(PICTURE, seed) != plain).all(0)
        if changed.any():
            erased.append(float(changed.float().mean()))
            assert torch.equal(augmentation(PICTURE, seed)[:, changed], torch.zeros(3, int(changed.sum())))
    # 5 standard deviations of 400 throws with a chance of 1/4.
    assert abs(len(erased) - 100) < 44
    assert min(erased) > 0.01
    assert max(erased) < 0.35


def test_a_flip_mirrors_half_of_the_pictures() -> None:
    augmentation = Augmentation(Recipe(crop=1.0, flip=0.5, randaugment_ops=0, erasing=0.0), PREPARE)
    plain = Augmentation(PLAIN, PREPARE)(PICTURE, 0)
    flipped = 0
    for seed in range(200):
        got = augmentation(PICTURE, seed)
        assert torch.equal(got, plain) or torch.equal(got, plain.flip(2))
        flipped += torch.equal(got, plain.flip(2))
    assert abs(flipped - 100) < 36


def test_the_affine_part_turns_within_its_degrees_and_brings_in_black() -> None:
    white = Image.new("RGB", (96, 96), (255, 255, 255))
    augmentation = Augmentation(Recipe(crop=1.0, flip=0.0, randaugment_ops=0, erasing=0.0, shift=0.25), PREPARE)
    black = [float((augmentation(white, seed) < 0).float().mean()) for seed in range(30)]
    assert max(black) > 0.1
    # Both sides moved by a quarter leave 9/16.
    assert max(black) <= 7 / 16 + 0.05


def test_crops_are_the_papers_parts_of_area_and_shape() -> None:
    torch.manual_seed(0)
    areas, ratios = [], []
    for _ in range(500):
        left, top, right, bottom = crop_box(400, 300, 0.08)
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        areas.append((right - left) * (bottom - top) / 120_000)
        ratios.append((right - left) / (bottom - top))
    assert 0.075 < min(areas) < 0.12
    assert 0.9 < max(areas) <= 1
    assert 0.74 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.35
    # Uniform over area and logarithm of shape where that fits into 4 : 3; 500 draws are 0.11 off at five deviations.
    area, shape = np.meshgrid(np.linspace(0.08, 1, 400), np.exp(np.linspace(math.log(3 / 4), math.log(4 / 3), 400)))
    fits = (area * shape <= 4 / 3) & (area / shape <= 3 / 4)
    assert sum(a < 0.5 for a in areas) / 500 == pytest.approx((area[fits] < 0.5).mean(), abs=0.11)


def test_where_nothing_fits_the_centre_is_taken() -> None:
    assert crop_box(1000, 10, 0.9) == (493, 0, 506, 10)
    assert crop_box(10, 1000, 0.9) == (0, 493, 10, 506)
    assert crop_box(1, 1, 0.5) == (0, 0, 1, 1)


def test_kornia_takes_the_magnitude_out_of_thirty() -> None:
    transform: Any = libraries.rand_augment(2, 9)
    assert (transform.n, transform.m) == (2, 9)
    assert len(transform._modules) == 15
    x = torch.rand(1, 3, 32, 32)
    torch.manual_seed(0)
    assert any(not torch.equal(transform(x), x) for _ in range(3))


def test_torchvision_comes_first_where_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    class V2(ModuleType):
        def __getattr__(self, name: str) -> Any:
            def make(**given: Any) -> Any:
                calls[name] = given
                return lambda x: x

            return make

    transforms, v2 = ModuleType("torchvision.transforms"), V2("torchvision.transforms.v2")
    transforms.v2 = v2  # type: ignore[attr-defined] # a stand-in
    for name, module in (("torchvision", ModuleType("torchvision")), ("torchvision.transforms", transforms)):
        monkeypatch.setitem(sys.modules, name, module)
    Augmentation(Recipe(rotate=10.0), PREPARE)
    assert calls == {
        "RandomHorizontalFlip": {"p": 0.5},
        "RandomAffine": {"degrees": 10.0, "translate": (0.0, 0.0), "scale": (1.0, 1.0)},
        "RandAugment": {"num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31},
        "RandomErasing": {"p": 0.25, "scale": (0.02, 1 / 3), "ratio": (0.3, 3.3), "value": 0},
    }


def test_without_a_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    with pytest.raises(ToolchainError, match=r"pip install '\.\[train\]'"):
        Augmentation(Recipe(), PREPARE)
    assert isinstance(Augmentation(PLAIN, PREPARE)(PICTURE, 0), Tensor)  # needs none


def test_seeds_differ_by_every_number_of_their_place() -> None:
    places = [
        (0, "picture", 0, 0),
        (1, "picture", 0, 0),
        (0, "order", 0, 0),
        (0, "picture", 1, 0),
        (0, "picture", 0, 1),
    ]
    seeds = {seed_of(*place) for place in places}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert math.log2(max(seeds)) > 60
