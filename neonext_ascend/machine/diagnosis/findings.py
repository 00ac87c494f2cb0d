"""What a finding is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "missing", "problem", "info"]
PIP = f"{Path(sys.executable).name} -m pip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: its state, and what changes it where that is wanted.

    Attributes:
        name: of the thing.
        status: ``info`` is neither good nor bad.
        value: in words.
        remedy: a command, or what to do in words.
        copy: whether the remedy is a command, which is printed on one line however long.
    """

    name: str
    status: Status
    value: str
    remedy: str | None = None
    copy: bool = False

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"name": self.name, "status": self.status, "value": self.value, "remedy": self.remedy}
