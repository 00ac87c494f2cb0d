"""What a row of the table of bad inputs is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Arguments = Callable[[Path], list[object]]


@dataclass(frozen=True)
class Refusal:
    """One bad input.

    Args:
        given: what the user does, in words.
        arguments: makes the input in a folder and gives the command line.
        code: exit status.
        says: what the error line contains.
        cure: what helps.
    """

    given: str
    arguments: Arguments
    code: int
    says: str
    cure: str


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path
