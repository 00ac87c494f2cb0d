"""Every error a user can meet, as one small tree; each carries its exit code.

A message says what happened, to what, what was expected and what to do. Anything that is raised and is
not in this tree is a bug of ours (exit status 70).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


# How a word begins that is spoken with a vowel; of one that is spelled, its first letter.
_VOWEL = re.compile("[AEFHILMNORSX][A-Z]|[AEI](?![A-Z])|O(?!ne|[A-Z])|U(n(?!i)|p)|[aeio]")


def counted(number: int, what: str) -> str:
    """``1 node``, ``2 nodes``, ``2 entries``, ``2 classes``."""
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}{'es' if what.endswith('s') else 's'}"
    return f"{number:,} {what if number == 1 else many}"


def with_article(word: str) -> str:
    """``a MatMul``, ``an Identity``; a name in capitals is spelled: ``an LSTM``."""
    return f"{'an' if _VOWEL.match(word) else 'a'} {word}"


class NeoNextError(Exception):
    """Base of all errors that are reported to the user in words.

    ``exit_code`` is the status with which the command line ends.
    """

    exit_code = 70


class ParityError(NeoNextError):
    """An honest no: the numbers differ by more than the tolerance."""

    exit_code = 1


class DivergedError(NeoNextError):
    """An honest no: a training gave NaN or infinity."""

    exit_code = 1


class UsageError(NeoNextError):
    """Wrong usage or input, content that opens but cannot be accepted included."""

    exit_code = 2


class ArgumentError(UsageError):
    """An argument of another kind than it may be; a command says its own option's name in place of ``argument``."""

    def __init__(self, argument: str, value: str, expected: str) -> None:
        super().__init__(argument, value, expected)  # all three, or it could not be pickled
        self.argument, self.value, self.expected = argument, value, expected

    def __str__(self) -> str:
        return f"{self.argument} {self.value}: expected {self.expected}"


class GeometryError(UsageError):
    """Cells, channels or map sizes that do not fit together."""


class CheckpointError(UsageError):
    """A checkpoint that opens but does not hold the network that was asked for."""


class PassRefusedError(UsageError):
    """A network that cannot be prepared for deployment, with the reason."""


class ArtifactError(UsageError):
    """An artifact or manifest that opens but cannot be accepted."""


class ToolchainError(NeoNextError):
    """A tool, library or device that the work needs is missing."""

    exit_code = 3


class FileAccessError(NeoNextError):
    """What the system refuses to read, write or create, a truncated file included."""

    exit_code = 5

    @classmethod
    def refuse_special(cls, path: Path, expected: str) -> None:
        """Raise for a folder, a pipe, which may give nothing, and a device, which may give no end."""
        if path.exists() and not path.is_file():
            raise cls(f"{path}: is not a regular file; expected {expected}")


# An error that comes from another process by its exit status and its words.
OF_EXIT_CODE: dict[int, type[NeoNextError]] = {
    error.exit_code: error for error in (ParityError, UsageError, ToolchainError, FileAccessError)
}
