"""Pictures as people have them, decoded to upright 8-bit RGB; what is wrong with one is said of that one."""

from __future__ import annotations

import contextlib
import stat
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

import numpy as np

from neonext_ascend.errors import FileAccessError, NeoNextError, UsageError
from neonext_ascend.files import foreign
from neonext_ascend.images.formats import EXPECTED, openable
from neonext_ascend.images.png_chunks import without_text

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")

STANDARD_INPUT = Path("-")
# Pillow's own limit, below which it warns of nothing: 358 MB in the four bytes that it keeps a pixel in.
MAX_PIXELS = 89_478_485
DECODERS = 4
_ORIENTATION = 0x0112  # EXIF 2.3, tag Orientation


@dataclass(frozen=True)
class Picture:
    """A decoded picture in RGB, and what the user should know of how it was read."""

    image: Image
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared(Generic[_T]):
    """What was made of a decoded picture, and the note of :class:`Picture`."""

    value: _T
    note: str | None = None


def read_picture(path: Path, content: bytes | None = None) -> Picture:
    """Decode the first frame, turned upright as its EXIF data say; ``-`` reads standard input.

    16-bit grey is scaled to 8 bits; transparency is dropped, as the authors' evaluation does.

    Args:
        path: of the file.
        content: its bytes, where they are at hand; the path is a name then.

    Raises:
        FileAccessError: the file is absent, unreadable, no regular file, or truncated.
        UsageError: it is no picture, or one with too many pixels.
    """
    with _blaming(path), contextlib.closing(_opened(path) if content is None else BytesIO(content)) as file:
        try:
            return _decode(file, path)
        except (NeoNextError, MemoryError):
            raise
        except Exception as error:
            file.seek(0)
            head = file.read(foreign.HEAD)
            if not head:
                raise FileAccessError(f"{path}: is empty; expected a picture; copy it again") from None
            if what := foreign.describe(head, "a PNG or JPEG", picture=True):
                raise UsageError(f"{path}: {what}") from None
            # Text and profiles are no pixels: a PNG whose text is too large or damaged is a picture all the same.
            plain = without_text(file)
            if plain is None:
                raise
            try:
                picture = _decode(plain, path)
            except Exception:
                raise error from None
            return Picture(
                picture.image, "; ".join(filter(None, [picture.note, "its text or profile was left unread"]))
            )


def read_prepared(path: Path, prepare: Callable[[Image], _T], content: bytes | None = None) -> Prepared[_T]:
    """Decode and prepare one; arguments and errors as of :func:`read_picture`."""
    with _blaming(path):
        picture = read_picture(path, content)
        return Prepared(prepare(picture.image), picture.note)


def glance(path: Path) -> None:
    """Look at the head of a picture alone, which tells that it is one, though not that it is whole.

    Raises:
        FileAccessError, UsageError: as :func:`read_picture`, in other words where it is another kind of file.
    """
    from PIL import Image

    with _blaming(path), contextlib.closing(_opened(path)) as file, Image.open(file, formats=openable()):
        pass


def read_pictures(
    paths: Iterable[Path], prepare: Callable[[Image], _T], decoders: int = DECODERS
) -> Generator[tuple[Path, Prepared[_T] | NeoNextError]]:
    """Decode and prepare in parallel, in order, a bounded number ahead; an error takes its picture's place.

    A decoded picture lives until it is prepared: only ``decoders`` of them are in memory at once.
    """

    ahead: deque[tuple[Path, Future[Prepared[_T]]]] = deque()
    remaining = iter(paths)
    with ThreadPoolExecutor(decoders) as pool:
        while True:
            for path in remaining:
                ahead.append((path, pool.submit(read_prepared, path, prepare)))
                if len(ahead) >= 4 * decoders:
                    break
            if not ahead:
                return
            path, future = ahead.popleft()
            try:
                yield path, future.result()
            except NeoNextError as error:
                yield path, error


@contextlib.contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is said of this picture, in our errors."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except NeoNextError:
        raise
    except UnidentifiedImageError:
        raise UsageError(f"{path}: not a picture that can be read; {EXPECTED}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{path}: too many pixels for a picture; scale it down first") from None
    except MemoryError:
        raise UsageError(f"{path}: not enough memory to decode it; scale it down first") from None
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the picture: {error.strerror or error}") from None
    except Exception as error:  # a damaged picture makes Pillow's plugins raise nearly anything
        raise UsageError(f"{path}: damaged picture: {str(error) or type(error).__name__}") from None


def _opened(path: Path) -> BinaryIO:
    if path == STANDARD_INPUT:
        if sys.stdin is None:  # closed by who started us
            raise FileAccessError("-: standard input is closed; expected a picture")
        return BytesIO(sys.stdin.buffer.read())
    if not stat.S_ISREG(mode := path.stat().st_mode):
        if stat.S_ISDIR(mode):
            next(path.iterdir(), None)  # where a folder could not be listed, why not
        raise FileAccessError(f"{path}: is not a regular file; expected a picture")
    return path.open("rb")


def _decode(file: BinaryIO, path: Path) -> Picture:
    from PIL import Image

    with Image.open(file, formats=openable()) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        frames = getattr(opened, "n_frames", 1)
        opened.load()
        notes = [f"first of {frames} frames"] if frames > 1 else []
        image: Image.Image = opened
        try:
            turn = _turn(opened.getexif().get(_ORIENTATION))
        except Exception:  # like text, EXIF data are no pixels
            turn = None
            notes.append("its EXIF data are damaged: not turned")
        if turn is not None:
            image = image.transpose(turn)
        return Picture(_to_rgb(image, path), "; ".join(notes) or None)


def _turn(orientation: Any) -> Any:
    """Pillow's transposition that turns a picture upright; ``None`` where it is, or where the value means nothing."""
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return dict(enumerate(turns, 2)).get(orientation)


def _to_rgb(image: Image, path: Path) -> Image:
    from PIL import Image as PillowImage

    if image.mode == "RGB":
        return image
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
