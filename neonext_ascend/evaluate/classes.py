"""Which of a network's classes a data set means by a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from neonext_ascend.data import imagenet_synsets
from neonext_ascend.errors import UsageError

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Classes:
    """The index of each name, and in words how it was found."""

    indices: Mapping[str, int]
    words: str


def classes_of(names: Sequence[str], labels: Sequence[str], count: int, folders: bool) -> Classes:
    """The first of these ways that finds every name: labels, synsets, numbers, the order of the folders.

    Args:
        names: of the data set's classes, sorted.
        labels: of the network's classes, by index.
        count: of the network's classes.
        folders: whether the names are those of folders; only then may their order count.

    Raises:
        UsageError: a name is found in none of these ways.
    """
    by_label = {label: index for index, label in enumerate(labels[:count])}
    if len(by_label) < len(labels[:count]):  # ImageNet has two cranes and two maillots: such a name means neither
        by_label = {label: index for label, index in by_label.items() if labels.count(label) == 1}
    ways: list[tuple[str, Callable[[str], int | None]]] = [("the names of the network's classes", by_label.get)]
    if count == 1000:
        ways.append(("ImageNet's synsets", {synset: i for i, synset in enumerate(imagenet_synsets())}.get))
    ways.append(("numbers of classes, from 0", lambda name: _number(name, count)))
    missing: list[str] = list(names)
    for words, find in ways:
        found = {name: find(name) for name in names}
        unknown = [name for name, index in found.items() if index is None]
        if not unknown:
            return Classes({name: index for name, index in found.items() if index is not None}, words)
        missing = min(missing, unknown, key=len)
    if folders and len(names) == count:
        order = "the sorted order of its folders, for their names are not the network's"
        return Classes({name: index for index, name in enumerate(names)}, order)
    shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
    ours = ", ".join(labels[:_SHOWN])
    raise UsageError(
        f"no class of the network is called {shown}; expected names such as {ours}, numbers from 0 to {count - 1}"
        + (", or synsets such as n01440764" if count == 1000 else "")
        + (f", or as many folders as classes: {len(names)} for {count}" if folders else "")
    )


def _number(name: str, count: int) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 8 and int(name) < count else None
