"""A file that a run over pictures writes as it goes, a line for each, and from which it goes on after a kill."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from neonext_ascend.errors import FileAccessError, UsageError, with_article
from neonext_ascend.evaluate.accuracy import Answer
from neonext_ascend.images.dataset import Item

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What is known of a picture, and in which words it is spoken of.

    Args:
        noun: what a run is called.
        command: that makes one.
        expected: what must be the same when it goes on.
        to_json, from_json: its form in a line; ``None`` where a line holds another.
    """

    noun: str
    command: str
    expected: str
    to_json: Callable[[T], Any]
    from_json: Callable[[Any], T | None]


class Journal(Generic[T]):
    """What is known of pictures already.

    The first line says what ran: another run's file is refused. Each further one holds a picture with
    its mark, so that another data set's picture of the same name, or one that was changed, is asked again. A last line
    that was cut is dropped. A picture that could not be read is not written: the next run tries it again.

    Args:
        path: of the file; it may be missing.
        subject: what runs, as JSON has it: whatever changes an answer.
        kind: of what is known.

    Raises:
        UsageError: the file is another run's, none at all, or in use.
        FileAccessError: it cannot be read or written.
    """

    def __init__(self, path: Path, subject: Mapping[str, Any], kind: Kind[T]) -> None:
        self._path, self._kind = path, kind
        self._known: dict[str, tuple[str, str, T]] = {}
        try:
            FileAccessError.refuse_special(path, f"the file of {with_article(kind.noun)}")
            self._file = path.open("a+b")
        except OSError as error:
            raise self._refused(error) from None
        try:
            self._lock()
            self._read(subject)
        except OSError as error:
            self._file.close()
            raise self._refused(error) from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def known(self, item: Item) -> T | None:
        """What was said of a marked picture; ``None`` where that was not asked, or its label was another."""
        label, mark, known = self._known.get(item.name, ("", "", None))
        return known if (label, mark) == (item.label, item.mark) else None

    def write(self, entries: Iterable[tuple[Item, T]]) -> None:
        """Add pictures; when this returns, a kill no longer loses them.

        Raises:
            FileAccessError: the system refuses.
        """
        lines = (
            json.dumps([item.name, item.label, item.mark, self._kind.to_json(known)]) + "\n" for item, known in entries
        )
        self._append("".join(lines))

    def _append(self, text: str) -> None:
        try:
            self._file.write(text.encode("ascii"))  # json escapes the rest
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{self._path}: another {self._kind.noun} writes it; wait for it, or take another file"
            ) from None
        except OSError:  # a file system without locks
            pass

    def _read(self, subject: Mapping[str, Any]) -> None:
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            data = _parsed(line)
            if number == 1 and data != subject:
                if not (isinstance(data, dict) and "artifacts" in data):
                    raise self._strange()
                raise UsageError(
                    f"{self._path}: another {self._kind.noun}'s file: expected {self._kind.expected}; take another "
                    "--resume file"
                )
            if number > 1:
                match data:
                    case [str(name), str(label), str(mark), told] if (known := self._kind.from_json(told)) is not None:
                        self._known[name] = label, mark, known
                    case _:
                        raise UsageError(f"{self._path}: line {number} is damaged; remove the line, or the file")
            end += len(line)
        if end == 0 and os.fstat(self._file.fileno()).st_size > 0 and not self._could_be_ours(subject):
            raise self._strange()
        self._file.truncate(end)
        if end == 0:
            self._append(json.dumps(subject) + "\n")

    def _strange(self) -> UsageError:
        return UsageError(
            f"{self._path}: was not written by {self._kind.command} --resume, and is left as it is; give a new name, "
            f"or the file of {with_article(self._kind.noun)} that was begun"
        )

    def _could_be_ours(self, subject: Mapping[str, Any]) -> bool:
        """Whether the one cut line is the beginning of ours; a stranger's text is not to be cleared."""
        self._file.seek(0)
        return (json.dumps(subject) + "\n").encode("ascii").startswith(self._file.read())

    def _refused(self, error: OSError) -> FileAccessError:
        return FileAccessError(f"{self._path}: cannot write the {self._kind.noun}: {error.strerror}")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def evaluations(classes: Sequence[int]) -> Kind[tuple[Answer, ...]]:
    """An answer of each artifact; ``classes``: how many each has."""

    def read(data: Any) -> tuple[Answer, ...] | None:
        if not (isinstance(data, list) and len(data) == len(classes)):
            return None
        if not all(_is_answer(pair, count) for pair, count in zip(data, classes, strict=True)):
            return None
        return tuple(Answer(index, rank) for index, rank in data)

    return Kind(
        "evaluation",
        "eval",
        "these artifacts, their manifests, these classes and this runtime",
        lambda answers: [[answer.index, answer.rank] for answer in answers],
        read,
    )


def _is_answer(pair: Any, classes: int) -> bool:
    whole = isinstance(pair, list) and [type(number) for number in pair] == [int, int]
    return whole and 0 <= pair[0] < classes and 1 <= pair[1] <= classes
