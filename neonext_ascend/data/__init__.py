"""What ships in the package: labels, the small trained network, sample pictures."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from neonext_ascend.errors import FileAccessError, UsageError, counted

NANO_WEIGHTS = "neonext_nano.safetensors"


def data_path(*parts: str) -> Path:
    """A file of the package on disk (the package is never installed as a zip)."""
    return Path(str(resources.files(__name__).joinpath(*parts)))


def sample_pictures() -> list[Path]:
    """The sample pictures, sorted by name."""
    return sorted(data_path("samples").glob("*.png"))


def imagenet_labels() -> tuple[str, ...]:
    """The words of the 1,000 ImageNet-1k classes in index order (WordNet 3.0 lemmas)."""
    lines = data_path("imagenet1k.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t", 1)[1] for line in lines)


def imagenet_synsets() -> tuple[str, ...]:
    """The WordNet ids of the same classes, such as ``n01440764``."""
    lines = data_path("imagenet1k.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t", 1)[0] for line in lines)


def labels_for(name: str, num_classes: int) -> tuple[str, ...]:
    """Names of a model's classes: digits for ``neonext_nano``, ImageNet's for 1,000, else ``class_0``..."""
    if name == "neonext_nano" and num_classes == 10:
        return tuple(str(digit) for digit in range(10))
    if num_classes == 1000:
        return imagenet_labels()
    return tuple(f"class_{index}" for index in range(num_classes))


def read_labels(path: Path, num_classes: int) -> tuple[str, ...]:
    """A user's label file: one name a line.

    Raises:
        FileAccessError: it cannot be read.
        UsageError: the number of names is not the number of classes.
    """
    try:
        FileAccessError.refuse_special(path, "names of classes, one a line")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the labels: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the labels are not UTF-8 text; expected one name a line") from None
    return counted_labels([line.strip() for line in lines if line.strip()], num_classes, str(path))


def counted_labels(names: Sequence[str], num_classes: int, where: str) -> tuple[str, ...]:
    """The names, one for each class.

    Raises:
        UsageError: there are more or fewer.
    """
    if len(names) != num_classes:
        raise UsageError(
            f"{where}: holds {counted(len(names), 'label')}; the model has {counted(num_classes, 'class')}"
        )
    return tuple(names)
