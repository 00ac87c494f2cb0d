"""Pictures as people have them: found in folders and by patterns, decoded to upright 8-bit RGB."""

from __future__ import annotations

import glob
import stat
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

STANDARD_INPUT = Path("-")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
_EXPECTED = "expected PNG, JPEG, WebP, BMP, GIF or TIFF"
# Pillow's own limit, below which it warns of nothing: 270 MB decoded.
MAX_PIXELS = 89_478_485
_DECODERS = 4


@dataclass(frozen=True)
class Picture:
    """A decoded picture in RGB, and what the user should know of how it was read."""

    image: Image
    note: str | None = None


def find_pictures(arguments: Sequence[Path]) -> list[Path]:
    """The pictures that are meant: a file itself, a folder's pictures (and its folders'), a pattern's matches.

    Raises:
        UsageError: a folder or a pattern without a picture.
        FileAccessError: a folder cannot be read.
    """
    found: list[Path] = []
    for argument in arguments:
        if argument == STANDARD_INPUT or not (argument.is_dir() or _is_pattern(argument)):
            found.append(argument)
            continue
        if argument.is_dir():
            inside = sorted(p for p in argument.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            inside = sorted(Path(name) for name in glob.glob(str(argument), recursive=True))  # noqa: PTH207 -- keeps ~ and .. as typed
        if not inside:
            kind = "folder holds no" if argument.is_dir() else "pattern matches no"
            raise UsageError(f"{argument}: the {kind} picture; {_EXPECTED}")
        found += inside
    return found


def read_picture(path: Path) -> Picture:
    """Decode the first frame, turned upright as its EXIF data say; ``-`` reads standard input.

    16-bit grey is scaled to 8 bits; transparency is dropped, as the authors' evaluation does.

    Raises:
        FileAccessError: the file is absent, unreadable, no regular file, or truncated.
        UsageError: it is no picture, or one with too many pixels.
    """
    from PIL import Image as PillowImage
    from PIL import ImageOps, UnidentifiedImageError

    try:
        source = BytesIO(sys.stdin.buffer.read()) if path == STANDARD_INPUT else _regular(path)
        with PillowImage.open(source) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise PillowImage.DecompressionBombError
            frames = getattr(opened, "n_frames", 1)
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            note = f"first of {frames} frames" if frames > 1 else None
            return Picture(_to_rgb(upright, path), note)
    except UnidentifiedImageError:
        raise UsageError(f"{path}: not a picture that can be read; {_EXPECTED}") from None
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning):
        raise UsageError(f"{path}: too many pixels for a picture; scale it down first") from None
    except MemoryError:
        raise UsageError(f"{path}: not enough memory to decode it; scale it down first") from None
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the picture: {error.strerror or error}") from None
    except NeoNextError:
        raise
    except Exception as error:  # a damaged picture makes Pillow's plugins raise nearly anything
        raise UsageError(f"{path}: damaged picture: {str(error) or type(error).__name__}") from None


def read_pictures(paths: Sequence[Path]) -> Iterator[tuple[Path, Picture | NeoNextError]]:
    """Decode in parallel, in order, a bounded number ahead; an error takes its picture's place."""
    ahead: list[tuple[Path, Future[Picture]]] = []
    remaining = iter(paths)
    with ThreadPoolExecutor(_DECODERS) as pool:
        while True:
            for path in remaining:
                ahead.append((path, pool.submit(read_picture, path)))
                if len(ahead) >= 4 * _DECODERS:
                    break
            if not ahead:
                return
            path, future = ahead.pop(0)
            try:
                yield path, future.result()
            except NeoNextError as error:
                yield path, error


def _regular(path: Path) -> Path:
    if not stat.S_ISREG(path.stat().st_mode):
        raise FileAccessError(f"{path}: is not a regular file; expected a picture")
    return path


def _to_rgb(image: Image, path: Path) -> Image:
    from PIL import Image as PillowImage

    if image.mode == "F":
        raise UsageError(f"{path}: a floating-point picture has no agreed range; save it as 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips at 255 and turns 16-bit grey white.
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UsageError(f"{path}: grey values beyond 16 bits; save it as 8 or 16 bits")
        image = PillowImage.fromarray(np.round(values / 257).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA")
    return image.convert("RGB")


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not path.exists()
