"""WebDataset's shards, read by its library as a stream: for what does not fit on one disk."""

from __future__ import annotations

import random
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from neonext_ascend.errors import FileAccessError, NeoNextError, ToolchainError, UsageError
from neonext_ascend.images.formats import suffixes
from neonext_ascend.training.draws import seed_of
from neonext_ascend.training.sources.entries import Entry, Source, digest_of

_SUFFIX, _LABEL = ".tar", "cls"
_REMOTE = ("pipe:", "http://", "https://", "s3://", "gs://")
_HELD_OUT = ("val", "test")
_BUFFER = 1000  # entries among which the next is drawn
_END = 1024  # zero bytes that end a tar file


@dataclass(frozen=True)
class Streamed:
    """The entries of some shards.

    Args:
        urls: of the shards.
        index: of each class's name.
        labels: pictures of each class by name.
        digest: of names and classes.
    """

    urls: tuple[str, ...]
    index: dict[str, int]
    labels: Counter[str]
    digest: str

    @property
    def counts(self) -> Counter[int]:
        """Pictures of each class."""
        return Counter({self.index[label]: count for label, count in self.labels.items()})

    def shuffled(self, seed: int, epoch: int, first: int = 0) -> Iterator[Entry]:
        """Shards in another order, and of the next entries one by chance; what comes before ``first`` is read over."""
        draw = random.Random(seed_of(seed, "shards", epoch))
        urls = draw.sample(self.urls, len(self.urls))
        stream = _library().filters.shuffle(_BUFFER, initial=_BUFFER, rng=draw)(self._entries(urls))
        return islice(stream, first, None)

    def plain(self, first: int = 0, step: int = 1) -> Iterator[Entry]:
        """As they lie in the shards."""
        return islice(self._entries(self.urls), first, None, step)

    def _entries(self, urls: Iterable[str]) -> Iterator[Entry]:
        return (Entry(name, content, self.index[label]) for name, content, label in _samples(urls))


def urls_of(data: str) -> list[str] | None:
    """The shards that ``data`` names; ``None`` where it names none."""
    if data.startswith(_REMOTE) or data.endswith(_SUFFIX):
        return list(_library().shardlists.expand_urls(data))
    path = Path(data)
    if path.is_dir() and (found := sorted(str(file) for file in path.glob(f"*{_SUFFIX}"))):
        return found
    return None


def read(name: str, urls: Sequence[str]) -> Source:
    """Every shard read through once, for its classes and their counts; files are not read but for their heads.

    Raises:
        FileAccessError: a shard cannot be read, or is cut short.
        UsageError: a sample has no picture or no class.
    """
    held = [url for url in urls if Path(url).name.startswith(_HELD_OUT)]
    inside = [url for url in urls if url not in held]
    found = [_contents(part) for part in (inside, held)]
    classes = _ordered(found[0][0])
    index = {label: number for number, label in enumerate(classes)}
    strange = sorted(set(found[1][0]) - set(classes))
    if strange:
        raise UsageError(f"{name}: held-out shards have classes that the others lack: {', '.join(strange[:3])}")
    training, held_out = (
        Streamed(tuple(part), index, *contents) for part, contents in zip((inside, held), found, strict=True)
    )
    said = "held out: shards named val or test" if held else "nothing held out: no shard is named val or test"
    return Source(name, classes, training, held_out if held else None, said)


def _ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Classes that are numbers by number, from 0 on, those without a picture included; else sorted."""
    names = sorted(labels)
    if names and all(name.isdecimal() and len(name) < 7 for name in names):
        return tuple(str(number) for number in range(max(map(int, names)) + 1))
    return tuple(names)


def _contents(urls: Sequence[str]) -> tuple[Counter[str], str]:
    pairs = [(f"{url}/{key}", label) for url in urls for key, label in _labels(url)]
    return Counter(label for _, label in pairs), digest_of((f"{Path(name).name} {label}", 0) for name, label in pairs)


def _labels(url: str) -> Iterator[tuple[str, str]]:
    """Key and class of each sample of a shard: a local file's pictures are passed over, unread."""
    try:
        if not url.startswith(_REMOTE):
            _refuse_cut(Path(url))
        with _opened(url) as stream, tarfile.open(fileobj=stream, mode=_mode(url)) as archive:
            for member in archive:
                key, _, kind = member.name.rpartition("/")[2].partition(".")
                if member.isfile() and kind == _LABEL:
                    content = archive.extractfile(member)
                    yield key, "" if content is None else _text(content.read())
    except OSError as error:
        raise FileAccessError(f"{url}: cannot read the shard: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError) as error:
        raise FileAccessError(f"{url}: the shard is cut short or damaged: {error}; copy it again") from None


def _refuse_cut(path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END, 0))
        if size < _END or any(file.read()):
            raise FileAccessError(f"{path}: the shard is cut short: no end mark at byte {size}; copy it again")


def _samples(urls: Iterable[str]) -> Iterator[tuple[str, bytes, str]]:
    """Name, picture and class."""
    reading = _library().tariterators
    try:
        for sample in reading.group_by_keys(reading.tar_file_expander(_streams(urls))):
            name = f"{sample['__url__']}/{sample['__key__']}"
            picture = next((kind for kind in sample if f".{kind.rpartition('.')[2]}" in suffixes()), None)
            if picture is None or _LABEL not in sample:
                what = "picture" if picture is None else f".{_LABEL}"
                raise UsageError(f"{name}: the sample has no {what}; expected a picture and its class in .{_LABEL}")
            yield f"{name}.{picture}", bytes(sample[picture]), _text(sample[_LABEL])
    except NeoNextError:
        raise
    except Exception as error:  # the library adds words of its own to what tarfile and the system raise
        # The last of its arguments is the shard.
        raise FileAccessError(f"{error.args[-1]}: the shard is cut short or damaged; copy it again") from None


def _streams(urls: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Opened here, for the library leaves to chance when a shard is closed."""
    for url in urls:
        with _opened(url) as stream:
            yield {"url": url, "stream": stream}


def _opened(url: str) -> Any:
    return _library().gopen(url) if url.startswith(_REMOTE) else Path(url).open("rb")


def _mode(url: str) -> Any:
    """A file is sought in, anything else read through."""
    return "r|*" if url.startswith(_REMOTE) else "r:"


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace").strip()


def _library() -> Any:
    try:
        import webdataset
        import webdataset.filters
        import webdataset.shardlists
        import webdataset.tariterators
    except ImportError:
        raise ToolchainError("shards need webdataset; pip install '.[train]' in the checkout") from None
    return webdataset
