"""One command run in this process: what it printed and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from neonext_ascend.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What one command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.out)
        return data


Call = Callable[..., Outcome]


def caller(capfd: pytest.CaptureFixture[str], *command: str) -> Call:
    """A function that runs ``command`` with the arguments that it is given."""

    def invoke(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run([*command, *map(str, arguments)])
        return Outcome(code, *capfd.readouterr())

    return invoke
