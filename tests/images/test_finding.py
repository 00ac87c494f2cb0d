"""Which files of a folder are pictures, and that what is left out is said."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neonext_ascend.cli.main import run
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.images.decoding import read_picture
from neonext_ascend.images.finding import Found
from neonext_ascend.images.formats import openable, suffixes

# What cameras, browsers and old programs write; all of them in any case of letters.
PEOPLES = [
    ".png",
    ".JPG",
    ".jpeg",
    ".jfif",
    ".jpe",
    ".avif",
    ".pnm",
    ".tga",
    ".mpo",
    ".webp",
    ".bmp",
    ".dib",
    ".gif",
    ".tif",
    ".TIFF",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pcx",
    ".sgi",
    ".jp2",
    ".j2k",
    ".ico",
    ".icns",
    ".apng",
    ".qoi",
    ".psd",
    ".dds",
    ".xbm",
]
# Documents, films and measurements that Pillow registers, and plain other files.
OTHERS = [
    ".pdf",
    ".eps",
    ".ps",
    ".wmf",
    ".emf",
    ".mpg",
    ".mpeg",
    ".hdf",
    ".h5",
    ".bufr",
    ".grib",
    ".flc",
    ".fli",
    ".iim",
    ".palm",
    ".txt",
    ".heic",
    ".db",
]


def test_what_pillow_registers_is_found_and_the_rest_is_counted(tmp_path: Path) -> None:
    for suffix in (*PEOPLES, *OTHERS):
        (tmp_path / f"x{suffix}").touch()
    found = Found([tmp_path])
    assert {p.suffix for p in found} == set(PEOPLES)
    assert (found.left_out or "").startswith("left out 18 files that are no pictures which Pillow opens: 1 .")
    assert (found.left_out or "").endswith(", ...")
    single = Found([tmp_path / "x.png"])
    assert (list(single), single.several, single.left_out) == ([tmp_path / "x.png"], False, None)


@pytest.mark.parametrize(
    "suffix", [s for s in PEOPLES if s.lower() not in (".psd", ".mpo", ".dds", ".icns", ".xbm", ".ico")]
)
def test_each_kind_that_pillow_writes_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    Image.new("1" if suffix == ".pbm" else "RGB", (24, 16), "white").save(path)
    pixels = np.asarray(read_picture(path).image)
    assert pixels.shape == (16, 24, 3)
    assert pixels.min() >= 250


def test_a_pair_of_pictures_in_one_file_is_its_first(tmp_path: Path) -> None:
    pair = [Image.new("RGB", (24, 16), "red"), Image.new("RGB", (24, 16), "blue")]
    pair[0].save(tmp_path / "x.mpo", save_all=True, append_images=pair[1:])
    read = read_picture(tmp_path / "x.mpo")
    assert read.note == "first of 2 frames"
    assert np.asarray(read.image)[0, 0, 0] > 200


def test_what_systems_leave_in_folders_is_no_picture(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".DS_Store", "Thumbs.db", "sub/b.png", "sub/._b.png", "sub/README", ".hidden.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = Found([tmp_path])
    assert [p.name for p in found] == [".hidden.png", "a.jpg", "b.png"]
    assert (
        found.left_out
        == ("left out 4 files that are no pictures which Pillow opens: 1 .jpg, 1 .db, 1 .png, 1 without a suffix")
        or (found.left_out or "").count(" 1 ") == 4
    )


def test_the_command_says_what_it_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "neonext_nano", "-o", str(tmp_path), "--no-verify"]) == 0
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.JPG", "c.jfif", "d.jpe", "e.avif", "f.pnm", "g.tga"):
        Image.new("RGB", (32, 32), "red").save(pictures / name)
    (pictures / "notes.txt").write_text("seven pictures")
    capfd.readouterr()
    assert run(["predict", str(tmp_path / "neonext_nano-96-b1-fp32.onnx"), str(pictures)]) == 0
    told = capfd.readouterr()
    assert len(told.out.splitlines()) == 7
    assert told.err == "note: left out 1 file that is no picture which Pillow opens: 1 .txt\n"


def test_a_link_to_nowhere_is_a_picture_that_fails(tmp_path: Path) -> None:
    # As in a data set whose files git-annex or DVC has not fetched.
    (tmp_path / "a.jpg").symlink_to("gone")
    assert list(Found([tmp_path])) == [tmp_path / "a.jpg"]
    with pytest.raises(FileAccessError, match="No such file"):
        read_picture(tmp_path / "a.jpg")


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"the folder holds no picture \(2 \.heic, 1 \.txt\); expected PNG"):
        Found([tmp_path])


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").touch()
    scandir = os.scandir

    def refusing(path: str) -> object:  # the superuser may read anything, so the system is played
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    def refusing_list(path: str) -> object:
        return refusing(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(FileAccessError, match="closed: cannot read the folder: Permission denied"):
        Found([tmp_path / "closed"])
    # Inside another one it fails by itself, as a picture does.
    assert list(Found([tmp_path])) == [tmp_path / "a.png", tmp_path / "closed"]
    monkeypatch.setattr(os, "listdir", refusing_list)
    with pytest.raises(FileAccessError, match="closed: cannot read the picture: Permission denied"):
        read_picture(tmp_path / "closed")


class Listings:
    """How often the system was asked for a folder, for names in it, and to look at a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders: list[str] = []
        self.looked = 0
        scandir, stat = os.scandir, os.stat

        def listing(path: str) -> object:
            self.folders.append(Path(path).name)
            return scandir(path)

        def looking(*args: Any, **kwargs: Any) -> os.stat_result:
            self.looked += 1
            return stat(*args, **kwargs)

        monkeypatch.setattr(os, "scandir", listing)
        monkeypatch.setattr(os, "stat", looking)


def test_of_5000_pictures_the_first_is_there_before_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5000):
        (tmp_path / f"{number // 100:02d}").mkdir(exist_ok=True)
        os.mknod(tmp_path / f"{number // 100:02d}" / f"{number:04d}.png")
    seen = Listings(monkeypatch)
    tracemalloc.start()
    found = Found([tmp_path])
    assert next(found) == tmp_path / "00" / "0000.png"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Two folders of 50 and 100 names, and the path of one picture; all 5,000 paths take 2 MB.
    assert seen.folders == [tmp_path.name, "00"]
    assert seen.looked <= 2  # whether the argument is a folder
    assert peak < 100_000
    rest = list(found)
    assert rest == sorted(rest)
    assert (len(rest), found.count, found.left_out) == (4999, 5000, None)
    assert seen.looked <= 4


def test_pictures_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    # A folder stands where its name does, not where its name with a slash would.
    names = ["a.png", "a/z.png", "a-b/c.png", "a b.png", "B.png", "a/b/c.png", "a0.png", "ä.png", "a/.x/y.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(Found([tmp_path])) == sorted(tmp_path / name for name in names)
    assert list(Found([tmp_path / "a", tmp_path / "B.png"]))[-1] == tmp_path / "B.png"


def test_folders_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1200):
        deep = deep / "d"
        deep.mkdir()
    (deep / "a.png").touch()
    found = list(Found([tmp_path]))
    assert found == [deep / "a.png"]
    found[0].unlink()
    while deep != tmp_path:  # Python's own way to remove a tree gives up at 1,000
        deep.rmdir()
        deep = deep.parent


def test_documents_are_not_opened_under_a_pictures_name(tmp_path: Path) -> None:
    # Pillow would hand this to Ghostscript, whatever the file is called.
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(UsageError, match="not a picture that can be read"):
        read_picture(tmp_path / "a.png")
    assert not {"EPS", "WMF", "MPEG", "HDF5"} & set(openable())
    assert {".png", ".jpg"} <= suffixes()
