"""Pictures to inputs: the same numbers as the authors' transforms, and files that are no pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neonext_ascend.artifacts.strict import check
from neonext_ascend.artifacts.structs import struct
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.images.decoding import read_picture
from neonext_ascend.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, preprocessing_for

NEUTRAL = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # mean and std that leave values from 0 to 1 as they are


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_torchvision_documents_it(image: Image.Image, size: int) -> NDArray[np.float64]:
    """Resize(round(size / 0.875)), CenterCrop(size), ToTensor, Normalize, step by step in float64."""
    short = round(size / 0.875)
    width, height = image.size
    if height < width:
        image = image.resize((int(short * width / height), short), Image.Resampling.BILINEAR)
    else:
        image = image.resize((short, int(short * height / width)), Image.Resampling.BILINEAR)
    top, left = round((image.height - size) / 2.0), round((image.width - size) / 2.0)
    cropped = np.asarray(image)[top : top + size, left : left + size]
    channels = [
        (cropped[..., c] / 255.0 - mean) / std
        for c, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True))
    ]
    return np.stack(channels)


@pytest.mark.parametrize("size", [96, 224, 384])
@pytest.mark.parametrize(
    ("width", "height"),
    [(256, 256), (500, 333), (333, 500), (1000, 30), (257, 256), (255, 511), (5, 7), (640, 480), (439, 439)],
)
def test_a_picture_becomes_what_the_authors_transforms_make_of_it(width: int, height: int, size: int) -> None:
    image = picture(width, height)
    x = Preprocessing((size, size))(image)
    assert x.shape == (3, size, size)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    # Three fp32 roundings of values up to 2.7: below 1e-6; one pixel of the picture is worth 1.7e-2.
    np.testing.assert_allclose(x, as_torchvision_documents_it(image, size), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(224, 320), (320, 224), (96, 384)])
@pytest.mark.parametrize("shape", [(640, 480), (480, 640), (301, 299)])
def test_an_input_that_is_not_square_is_filled_from_the_centre(size: tuple[int, int], shape: tuple[int, int]) -> None:
    width, height = shape
    across = np.linspace(0, 255, width).round().astype(np.uint8)
    image = Image.fromarray(np.repeat(across[None], height, axis=0))
    x = Preprocessing(size, 0.875, *NEUTRAL)(image)
    assert x.shape == (3, *size)
    # A grey ramp: mirrored around the middle, and less of it is seen than there is.
    np.testing.assert_allclose(x[0] + x[0, :, ::-1], 1, atol=0.02)
    assert 0 < x[0, 0, 0] < x[0, 0, -1] < 1
    scale = max(round(size[0] / 0.875) / height, round(size[1] / 0.875) / width)
    assert x[0, 0, -1] - x[0, 0, 0] == pytest.approx(size[1] / (scale * width), abs=0.02)


def test_channels_are_in_rgb_order() -> None:
    x = Preprocessing((8, 8), 0.875, *NEUTRAL)(Image.new("RGB", (16, 16), (200, 100, 50)))
    np.testing.assert_allclose(x.mean(axis=(1, 2)), [200 / 255, 100 / 255, 50 / 255], atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_every_kind_of_picture_becomes_three_channels(mode: str) -> None:
    grey = Image.new("L", (20, 10), 255).convert(mode)
    x = Preprocessing((8, 8), 0.875, *NEUTRAL)(grey)
    np.testing.assert_array_equal(x, np.ones((3, 8, 8), np.float32))


def test_nano_sees_the_whole_picture_stretched() -> None:
    prepare = preprocessing_for("neonext_nano", (96, 64))
    image = picture(8, 20)
    want = np.asarray(image.resize((64, 96), Image.Resampling.BILINEAR), np.float64) / 127.5 - 1
    np.testing.assert_allclose(prepare(image), want.transpose(2, 0, 1), rtol=0, atol=1e-6)


def test_every_other_network_sees_what_the_authors_saw() -> None:
    assert preprocessing_for("neonext_t", (224, 224)) == Preprocessing((224, 224), 0.875, IMAGENET_MEAN, IMAGENET_STD)
    assert (IMAGENET_MEAN, IMAGENET_STD) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", ["neonext_t", "neonext_nano"])
def test_preprocessing_survives_the_manifest(name: str) -> None:
    preprocessing = preprocessing_for(name, (224, 320))
    assert struct(Preprocessing, check(Preprocessing, asdict(preprocessing))) == preprocessing


@pytest.mark.parametrize(
    "change",
    [
        {"interpolation": "bicubic"},
        {"channels": "BGR"},
        {"image_size": [224]},
        {"image_size": [0, 224]},
        {"image_size": None},
        {"mean": [0.5, 0.5]},
        {"std": [1, 1, 0]},
        {"std": "abc"},
        {"crop_fraction": "most"},
        {"crop_fraction": 0},
        {"crop_fraction": -0.5},
    ],
)
def test_a_manifest_with_another_preprocessing_is_refused(change: dict[str, Any]) -> None:
    (field,) = change
    with pytest.raises(ValueError, match=rf"^{field}(\[\d\])? is .*; expected .*"):
        check(Preprocessing, {**asdict(preprocessing_for("neonext_t", (224, 224))), **change})


def test_a_manifest_without_a_part_of_the_preprocessing_is_refused() -> None:
    data = asdict(preprocessing_for("neonext_t", (224, 224)))
    del data["std"]
    with pytest.raises(ValueError, match="std is missing; expected a list of 3"):
        check(Preprocessing, data)


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    upright = picture(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture has to be turned right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "turned.png").image), np.asarray(upright))


def truncated(path: Path) -> None:
    picture(64, 64).save(path, format="png")
    path.write_bytes(path.read_bytes()[:2000])


def nothing(path: Path) -> None:
    """Leaves nothing there."""


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (nothing, FileAccessError, "No such file"),
        (Path.mkdir, FileAccessError, "not a regular file"),
        (truncated, FileAccessError, "truncated"),
        (Path.touch, FileAccessError, "is empty"),
        (lambda path: path.write_text("a text file, and not short\n" * 20), UsageError, "expected PNG, JPEG"),
    ],
    ids=["absent", "a directory", "truncated", "empty", "a text file"],
)
def test_what_is_no_picture_is_refused_in_words(
    tmp_path: Path, make: Callable[[Path], object], error: type[FileAccessError | UsageError], words: str
) -> None:
    path = tmp_path / "picture.png"
    make(path)
    with pytest.raises(error) as refusal:
        read_picture(path)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")
