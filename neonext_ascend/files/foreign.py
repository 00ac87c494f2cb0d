"""What a file is in truth, by its first bytes, where it is not what its name says: the reason and what to do."""

from __future__ import annotations

HEAD = 512  # bytes that :func:`describe` looks at

# First bytes (after white space, for text), what such a file is, what to do.
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer in place of the file it stands for",
        "fetch that with: git lfs pull",
    ),
    (b"<!doctype", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip FILE"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: unxz FILE"),
    (b"BZh", "compressed with bzip2", "unpack it first: bunzip2 FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes", "give {wanted}"),
    (b"\x93NUMPY", "a NumPy array", "give {wanted}"),
    (b"GGUF", "a GGUF file of quantised weights", "give {wanted}"),
    (b"<?xml", "an XML document", "give {wanted}"),
    (b"<svg", "an SVG drawing", "give {wanted}"),
    (b"%PDF-", "a PDF document", "give {wanted}"),
    (b'{"', "JSON, as a server's answer", "download the file itself"),
)
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def describe(head: bytes, wanted: str = "the PyTorch checkpoint", picture: bool = False) -> str | None:
    """What a file that starts with ``head`` is and what to do, or ``None`` where nothing known.

    Args:
        head: its first :data:`HEAD` bytes, or fewer.
        wanted: what to give in its place.
        picture: whether that is a picture, so that one is nothing foreign.
    """
    if not picture and head.startswith(_PICTURES):
        return f"a picture; give {wanted}"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what, cure in _KINDS:
        if head.startswith(start) or text.startswith(start):
            return f"{what}; {cure.format(wanted=wanted)}"
    # ISO base media files name their kind behind the length of the first box.
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return f"an HEIF picture, as phones take them; give {wanted}"
    return None
