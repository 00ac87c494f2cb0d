"""Pictures as people have them, each compared with what its pixels must be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neonext_ascend.cli.main import run
from neonext_ascend.data import sample_pictures
from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.images.decoding import read_picture, read_pictures
from neonext_ascend.images.finding import Found

GRADIENT = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOURS = np.stack([GRADIENT, GRADIENT[::-1], 255 - GRADIENT], axis=-1)


def pixels(path: Path) -> NDArray[np.uint8]:
    image = read_picture(path).image
    assert image.mode == "RGB"
    return np.asarray(image)


def grey(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(values[..., None], 3, axis=-1)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


Case = tuple[str, Callable[[Path], Path], NDArray[np.uint8], int]
EXACT: list[Case] = [
    ("grey", lambda p: save(p / "a.png", Image.fromarray(GRADIENT)), grey(GRADIENT), 0),
    ("rgb", lambda p: save(p / "a.bmp", Image.fromarray(COLOURS)), COLOURS, 0),
    ("16-bit grey", lambda p: save(p / "a.png", Image.fromarray(GRADIENT.astype(np.uint16) * 257)), grey(GRADIENT), 0),
    ("32-bit grey", lambda p: save(p / "a.tif", Image.fromarray(GRADIENT.astype(np.int32) * 257)), grey(GRADIENT), 0),
    (
        "bilevel",
        lambda p: save(p / "a.png", Image.fromarray(GRADIENT > 99)),
        grey((GRADIENT > 99).astype("u1") * 255),
        0,
    ),
    ("lossless webp", lambda p: save(p / "a.webp", Image.fromarray(COLOURS), lossless=True), COLOURS, 0),
    # An inked picture goes through subtractive colours and back: each channel within rounding.
    ("cmyk", lambda p: save(p / "a.tif", Image.fromarray(COLOURS).convert("CMYK")), COLOURS, 1),
]


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(("make", "want", "within"), [c[1:] for c in EXACT], ids=[c[0] for c in EXACT])
def test_each_kind_gives_its_pixels(
    tmp_path: Path, make: Callable[[Path], Path], want: NDArray[np.uint8], within: int
) -> None:
    got = pixels(make(tmp_path))
    assert got.shape == want.shape
    assert int(np.abs(got.astype(int) - want.astype(int)).max()) <= within


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (4, COLOURS[::-1]),
        (6, np.rot90(COLOURS, 1)),
        (8, np.rot90(COLOURS, -1)),
    ],
)
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, stored: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=turned(orientation))
    np.testing.assert_array_equal(pixels(path), COLOURS)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    alpha = np.concatenate([COLOURS, np.full((6, 8, 1), 7, np.uint8)], axis=-1)
    np.testing.assert_array_equal(pixels(save(tmp_path / "a.png", Image.fromarray(alpha))), COLOURS)
    palette = Image.fromarray(grey(GRADIENT)).quantize(48)
    path = save(tmp_path / "p.png", palette, transparency=bytes([0] * 10 + [255] * 38))
    np.testing.assert_array_equal(pixels(path), grey(GRADIENT))


def test_the_first_frame_counts_and_is_said(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey(GRADIENT)), Image.fromarray(grey(255 - GRADIENT))]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert read_picture(path).note == "first of 2 frames"
    assert int(np.abs(pixels(path).astype(int) - grey(GRADIENT)).max()) <= 2  # a palette of 256 colours


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    floating = save(tmp_path / "f.tif", Image.fromarray(GRADIENT.astype(np.float32)))
    with pytest.raises(UsageError, match="floating-point"):
        read_picture(floating)
    deep = save(tmp_path / "d.tif", Image.fromarray(GRADIENT.astype(np.int32) * 100_000))
    with pytest.raises(UsageError, match="beyond 16 bits"):
        read_picture(deep)
    bomb = save(tmp_path / "bomb.png", Image.new("1", (10_000, 9_000)))
    with pytest.raises(UsageError, match="too many pixels"):
        read_picture(bomb)
    huge = save(tmp_path / "huge.png", Image.new("1", (20_000, 10_000)))
    with pytest.raises(UsageError, match="too many pixels"):
        read_picture(huge)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileAccessError, match="not a regular file"):
        read_picture(tmp_path / "pipe.png")


def test_folders_patterns_and_files_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "note.txt", "sub/c.webp", "sub/deep/d.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in Found([tmp_path])] == ["a.JPG", "b.png", "c.webp", "d.gif"]
    assert [p.name for p in Found([tmp_path / "*.png", tmp_path / "note.txt"])] == ["b.png", "note.txt"]
    assert [p.name for p in Found([tmp_path / "**" / "*.gif"])] == ["d.gif"]
    (tmp_path / "[odd].png").touch()
    assert list(Found([tmp_path / "[odd].png"])) == [tmp_path / "[odd].png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="folder holds no picture"):
        Found([tmp_path / "empty"])
    with pytest.raises(UsageError, match="pattern matches no picture"):
        Found([tmp_path / "*.bmp"])


def test_decoding_in_parallel_keeps_the_order_and_the_errors(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", Image.fromarray(np.full((4, 4), i, np.uint8))) for i in range(100)]
    paths[40].write_text("broken")
    results = list(read_pictures(paths, np.asarray))
    assert [path for path, _ in results] == paths
    for i, (_, picture) in enumerate(results):
        if i == 40:
            assert isinstance(picture, NeoNextError)
        else:
            assert not isinstance(picture, NeoNextError)
            assert picture.value[0, 0, 0] == i


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    assert run(["export", "neonext_nano", "-o", str(folder), "--no-verify", "--batch-size", "4"]) == 0
    return folder / "neonext_nano-96-b4-fp32.onnx"


def test_a_folder_is_classified_a_line_each(nano: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = sample_pictures()[0].parent
    capfd.readouterr()
    assert run(["predict", str(nano), str(folder)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == [str(d) for d in range(10)]
    assert run(["predict", str(nano), str(folder), "--jsonl"]) == 0
    objects = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [o["top"][0]["label"] for o in objects] == [str(d) for d in range(10)]


def test_standard_input_is_a_picture(
    nano: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(sample_pictures()[6].read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    capfd.readouterr()
    assert run(["predict", str(nano), "-", "--json"]) == 0
    (prediction,) = json.loads(capfd.readouterr().out)["predictions"]
    assert (prediction["path"], prediction["top"][0]["label"]) == ("-", "6")


STREAM = """
import resource, sys
from neonext_ascend.cli.main import run
first, rest = sys.argv[1], sys.argv[2:]
assert run(["predict", first, "--json", rest[0]]) in (0, 2)
small = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
code = run(["predict", first, "--json", rest[1]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - small, file=sys.stderr)
"""


def test_memory_stays_flat_over_5000_pictures_and_one_broken_is_named(nano: Path, tmp_path: Path) -> None:
    data = sample_pictures()[3].read_bytes()
    for folder, count in (("small", 200), ("large", 5000)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            (tmp_path / folder / f"{i:04}.png").write_bytes(data)
    (tmp_path / "large" / "2500.png").write_bytes(data[:60])
    arguments = [sys.executable, "-c", STREAM, str(nano), str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=900)
    *words, last = done.stderr.splitlines()
    code, grown_kb = map(int, last.split())
    assert code == 5
    assert any("2500.png: cannot read the picture" in line for line in words)
    assert "note: 1 of 5000 pictures could not be read" in words
    predictions = json.loads(done.stdout[done.stdout.rindex('{"predictions"') :])["predictions"]
    assert len(predictions) == 5000
    assert sum("error" in p for p in predictions) == 1
    # 4,800 more pictures; their 5,000 paths alone are 1 MB. A decoded picture kept each would be 60 MB.
    assert grown_kb < 8_000
