"""A file that an evaluation writes as it goes, a line for each picture, and from which it goes on after a kill."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.evaluate.accuracy import Answer
from neonext_ascend.images.dataset import Item


class Journal:
    """What is known of pictures already.

    The first line says what was evaluated: another evaluation's file is refused. Each further one holds a picture with
    its mark, so that another data set's picture of the same name, or one that was changed, is asked again. A last line
    that was cut is dropped. A picture that could not be read is not written: the next run tries it again.

    Args:
        path: of the file; it may be missing.
        subject: what is evaluated, as JSON has it: whatever changes an answer.
        classes: how many each artifact has.

    Raises:
        UsageError: the file is another evaluation's, none at all, or in use.
        FileAccessError: it cannot be read or written.
    """

    def __init__(self, path: Path, subject: Mapping[str, Any], classes: Sequence[int]) -> None:
        self._path, self._classes = path, classes
        self._known: dict[str, tuple[str, str, tuple[Answer, ...]]] = {}
        try:
            FileAccessError.refuse_special(path, "the file of an evaluation")
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

    def answers(self, item: Item) -> tuple[Answer, ...] | None:
        """What was said of a marked picture; ``None`` where that was not asked, or its label was another."""
        label, mark, answers = self._known.get(item.name, ("", "", None))
        return answers if (label, mark) == (item.label, item.mark) else None

    def write(self, entries: Iterable[tuple[Item, Sequence[Answer]]]) -> None:
        """Add pictures; when this returns, a kill no longer loses them.

        Raises:
            FileAccessError: the system refuses.
        """
        lines = (
            json.dumps([item.name, item.label, item.mark, [[answer.index, answer.rank] for answer in answers]]) + "\n"
            for item, answers in entries
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
            raise UsageError(f"{self._path}: another evaluation writes it; wait for it, or take another file") from None
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
                    f"{self._path}: another evaluation's file: expected these artifacts, their manifests, these "
                    "classes and this runtime; take another --resume file"
                )
            if number > 1:
                entry = _entry(data, self._classes)
                if entry is None:
                    raise UsageError(f"{self._path}: line {number} is damaged; remove the line, or the file")
                name, label, mark, answers = entry
                self._known[name] = label, mark, answers
            end += len(line)
        if end == 0 and os.fstat(self._file.fileno()).st_size > 0 and not self._could_be_ours(subject):
            raise self._strange()
        self._file.truncate(end)
        if end == 0:
            self._append(json.dumps(subject) + "\n")

    def _strange(self) -> UsageError:
        return UsageError(
            f"{self._path}: was not written by eval --resume, and is left as it is; give a new name, or the file of an "
            "evaluation that was begun"
        )

    def _could_be_ours(self, subject: Mapping[str, Any]) -> bool:
        """Whether the one cut line is the beginning of ours; a stranger's text is not to be cleared."""
        self._file.seek(0)
        return (json.dumps(subject) + "\n").encode("ascii").startswith(self._file.read())

    def _refused(self, error: OSError) -> FileAccessError:
        return FileAccessError(f"{self._path}: cannot write the evaluation: {error.strerror}")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _entry(data: Any, classes: Sequence[int]) -> tuple[str, str, str, tuple[Answer, ...]] | None:
    match data:
        case [str(name), str(label), str(mark), [*pairs]] if len(pairs) == len(classes):
            if all(_is_answer(pair, count) for pair, count in zip(pairs, classes, strict=True)):
                return name, label, mark, tuple(Answer(index, rank) for index, rank in pairs)
    return None


def _is_answer(pair: Any, classes: int) -> bool:
    whole = isinstance(pair, list) and [type(number) for number in pair] == [int, int]
    return whole and 0 <= pair[0] < classes and 1 <= pair[1] <= classes
