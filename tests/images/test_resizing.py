"""Resize and crop: the authors' pixels bit for bit, and memory for what the crop keeps alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neonext_ascend import jobs
from neonext_ascend.cli.main import run
from neonext_ascend.images.preprocessing import Preprocessing
from neonext_ascend.images.resizing import resize_and_crop


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8))


def whole_then_crop(image: Image.Image, size: tuple[int, int], fraction: float) -> NDArray[np.uint8]:
    """All of the picture resized, as the authors do, then the centre of it."""
    height, width = size
    short_h, short_w = round(height / fraction), round(width / fraction)
    if short_h * image.width >= short_w * image.height:
        resized = image.width * short_h // image.height, short_h
    else:
        resized = short_w, image.height * short_w // image.width
    image = image.resize(resized, Image.Resampling.BILINEAR)
    left, top = round((resized[0] - width) / 2), round((resized[1] - height) / 2)
    return np.asarray(image)[top : top + height, left : left + width]


@pytest.mark.parametrize("size", [(96, 96), (224, 224), (192, 256), (32, 7)])
@pytest.mark.parametrize("fraction", [0.875, 1.0, 0.5])
def test_pictures_of_many_shapes_are_exact(size: tuple[int, int], fraction: float) -> None:
    random = np.random.default_rng(3)
    shapes = [(1, 1), (2, 3), (640, 480), (479, 641), (1000, 30), (30, 1000), (40, 1), (1, 40), (959, 24)]
    shapes += [(int(w), int(h)) for w, h in random.integers(1, 700, (40, 2)) if max(w, h) <= 40 * min(w, h)]
    for width, height in shapes:
        image = noise(width, height)
        got = np.asarray(resize_and_crop(image, size, fraction))
        np.testing.assert_array_equal(got, whole_then_crop(image, size, fraction), err_msg=f"{width}x{height}")


@pytest.mark.parametrize("shape", [(3000, 1), (1, 3000), (2999, 3), (7, 4001), (9001, 40), (100, 9000), (30001, 100)])
@pytest.mark.parametrize("size", [(64, 64), (48, 64)])
def test_a_strip_differs_by_a_level_at_most(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*shape)
    got = np.asarray(resize_and_crop(image, size, 0.875)).astype(int)
    apart = np.abs(got - whole_then_crop(image, size, 0.875).astype(int))
    assert apart.max() <= 1  # of noise: where the part lies a tenth of a pixel off it is tens of levels


STRIPS = """
import resource, sys
import numpy as np
from PIL import Image
from neonext_ascend.images.preprocessing import Preprocessing
prepare = Preprocessing((192, 256))
prepare(Image.new("RGB", (300, 300)))
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, held + 2**28))
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak()
for size in ((20_000, 1), (1, 20_000), (60_000, 1), (1, 60_000), (300_000, 2), (1_000_000, 1), (3, 400_000)):
    assert prepare(Image.new("L", size, 255)).shape == (3, 192, 256)
print(peak() - before)
"""


def test_a_strip_takes_no_memory() -> None:
    done = subprocess.run([sys.executable, "-c", STRIPS], capture_output=True, text=True, check=True, timeout=900)
    # A million pixels in Pillow's four bytes each, grey and in colour, and the crop; resized whole it was 3.9 GB.
    assert int(done.stdout) < 24_000


MANY = """
import sys
from pathlib import Path
from neonext_ascend.images.decoding import Prepared, read_pictures
from neonext_ascend.images.preprocessing import Preprocessing
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
paths = [Path(sys.argv[1])] * 16
next(read_pictures([Path(sys.argv[2])], Preprocessing((96, 96))))
before = peak()
assert all(isinstance(picture, Prepared) for _, picture in read_pictures(paths, Preprocessing((96, 96))))
print(peak() - before)
"""


def test_large_pictures_wait_as_what_is_made_of_them(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 3000)).save(tmp_path / "large.png")
    Image.new("RGB", (30, 30)).save(tmp_path / "small.png")
    arguments = [sys.executable, "-c", MANY, str(tmp_path / "large.png"), str(tmp_path / "small.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=900)
    # Four decoders with 36 MB each; sixteen decoded pictures would be 576 MB.
    assert int(done.stdout) < 250_000


def test_strips_between_good_pictures_are_classified_like_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "wide"
    pictures.mkdir()
    Image.new("RGB", (64, 64), "red").save(pictures / "a.png")
    Image.new("L", (20_000, 1)).save(pictures / "b.png")
    Image.new("1", (60_000, 1)).save(pictures / "c.png")
    Image.new("RGB", (64, 64), "blue").save(pictures / "d.png")
    assert run(["export", "neonext_t", "--image-size", "96x128", "--no-verify", "-o", str(tmp_path)]) == 0
    capfd.readouterr()
    with jobs.predict(tmp_path / "neonext_t-96x128-b1-fp32.onnx", pictures) as answers:
        assert [p.error for p in answers] == [None] * 4


@pytest.mark.parametrize("error", [MemoryError(), ValueError("x"), SyntaxError("x"), KeyError("x"), RuntimeError("x")])
def test_whatever_preparing_a_picture_raises_is_that_pictures(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neonext_ascend.errors import UsageError
    from neonext_ascend.images.decoding import Prepared, read_pictures

    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.new("RGB", (20 + i, 20)).save(path)
    pixels = Preprocessing.pixels

    def failing(self: Preprocessing, image: Image.Image) -> NDArray[np.uint8]:
        if image.width == 21:
            raise error
        return pixels(self, image)

    monkeypatch.setattr(Preprocessing, "pixels", failing)
    first, second, third = (picture for _, picture in read_pictures(paths, Preprocessing((8, 8))))
    assert isinstance(first, Prepared)
    assert isinstance(third, Prepared)
    assert isinstance(second, UsageError)
    assert str(second).startswith(f"{paths[1]}: ")
