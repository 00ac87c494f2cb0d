"""Text, profiles and EXIF data that are too large or damaged: the picture is read, and what was left unread is said."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.images.decoding import read_picture

PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
UNREAD = "its text or profile was left unread"
LARGE = zlib.compress(bytes(3_000_000))


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG of PIXELS with these chunks before and after its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    data = buffer.getvalue()
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:start] + before + data[start:end] + after + data[end:]


ODD: dict[str, bytes] = {
    "compressed text": chunk(b"zTXt", b"Comment\0\0" + LARGE),
    "international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
    "a colour profile": chunk(b"iCCP", b"profile\0\0" + LARGE),
    "much plain text": chunk(b"tEXt", b"Comment\0" + b"x" * 1_000_001) * 68,
    "text of an unknown compression": chunk(b"zTXt", b"Comment\0\7abc"),
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0abc", crc=1),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ODD)
def test_text_does_not_cost_the_picture(tmp_path: Path, name: str, place: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(**{place: ODD[name]}))
    picture = read_picture(path)
    np.testing.assert_array_equal(np.asarray(picture.image), PIXELS)
    # A damaged chunk behind the pixels is nothing that Pillow minds.
    assert picture.note == UNREAD or (place == "after" and picture.note is None)
    if place == "before":
        assert picture.note == UNREAD


def test_text_that_is_read_needs_no_note(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(chunk(b"tEXt", b"Comment\0abc")))
    assert read_picture(tmp_path / "a.png").note is None


def test_a_picture_on_standard_input_is_given_the_same_care(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(png(ODD["compressed text"]))))
    assert read_picture(Path("-")).note == UNREAD
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(FileAccessError, match="standard input is closed"):
        read_picture(Path("-"))


def cut(data: bytes) -> bytes:
    return data[: data.index(b"IDAT") + 8]


def no_pixels(data: bytes) -> bytes:
    start = data.index(b"IDAT") - 4
    return data[:start] + data[data.index(b"IEND") - 4 :]


@pytest.mark.parametrize(("harm", "words"), [(cut, "truncated"), (no_pixels, "")])
def test_what_is_wrong_with_the_pixels_is_still_said(
    tmp_path: Path, harm: Callable[[bytes], bytes], words: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(harm(png(chunk(b"tEXt", b"Comment\0abc"))))
    with pytest.raises(NeoNextError, match=rf"a\.png: .*{words}"):
        read_picture(path)


def test_damaged_exif_data_leave_the_picture_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03")
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(picture.image), PIXELS)

    def broken(self: object) -> None:
        raise struct.error("unpack requires a buffer of 12 bytes")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    assert read_picture(tmp_path / "a.png").note == "its EXIF data are damaged: not turned"


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".gif", ".avif", ".jp2"])
@pytest.mark.parametrize("upto", [0, 1, 10, 40])
def test_the_beginning_of_a_picture_is_refused_in_words(tmp_path: Path, suffix: str, upto: int) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.tile(PIXELS, (8, 8, 1))).save(path)
    path.write_bytes(path.read_bytes()[:upto])
    with pytest.raises((UsageError, FileAccessError), match=rf"^{path}: "):
        read_picture(path)


OTHERS = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer .*: git lfs pull"),
    (b"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>", "a web page; download the file itself"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document; give a PNG or JPEG"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing; give a PNG or JPEG"),
    (b'{"error": "not found"}', "JSON, as a server's answer; download the file itself"),
    (b"\0\0\0\x18ftypheic\0\0\0\0", "an HEIF picture, as phones take them; give a PNG or JPEG"),
    (b"%PDF-1.7\n", "a PDF document; give a PNG or JPEG"),
    (b"\x93NUMPY\x01\x00", "a NumPy array; give a PNG or JPEG"),
    (b"\x1f\x8b\x08", "compressed with gzip; unpack it first"),
]


@pytest.mark.parametrize(("data", "words"), OTHERS)
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UsageError, match=rf"a\.png: {words}"):
        read_picture(tmp_path / "a.png")
