"""The house: what stands at the top of the package, how full a room is, and how long a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import neonext_ascend

PACKAGE = Path(neonext_ascend.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({file.parent for file in FILES if file.parent != PACKAGE})
AT_THE_TOP = {"__init__.py", "__main__.py", "_version.py", "errors.py", "spec.py"}


def test_only_five_files_stand_at_the_top() -> None:
    assert {file.name for file in PACKAGE.glob("*.py")} == AT_THE_TOP


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_a_room_holds_at_most_20_files_and_says_its_idea(room: Path) -> None:
    files = {file.name for file in room.glob("*.py")}
    assert len(files - {"__init__.py"}) <= 20
    assert (room / "__init__.py").read_text(encoding="utf-8").startswith('"""')


def test_no_file_is_longer_than_250_lines() -> None:
    long = {str(f.relative_to(PACKAGE)): n for f in FILES if (n := len(f.read_text("utf-8").splitlines())) > 250}
    assert long == {}


def test_no_file_carries_the_name_of_its_room() -> None:
    named = [str(f.relative_to(PACKAGE)) for f in FILES if f.stem.startswith(f"{f.parent.name}_")]
    assert named == []
