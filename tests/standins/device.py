"""A device's process whose runner goes wrong on rows that ask for it: ``python -m tests.standins.device``.

It is the real process around a real runner; a row that begins with one of :data:`MARKS` is the fault. Noise and
pictures never hold such a value, so opening and warming up are untouched.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.errors import ToolchainError
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.device import child, opening

MARKS: Mapping[str, float] = {"hang": 1e4, "error": 2e4, "nan": 3e1, "die": 4e4}


def marked(rows: NDArray[np.float32], fault: str) -> NDArray[np.float32]:
    """A copy whose first row asks for the fault."""
    rows = rows.copy()
    rows[0].flat[0] = MARKS[fault]
    return rows


class Faulty(Runner):
    """Another runner, and what the rows ask for."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self.name, self.where, self.gears = inner.name, inner.where, inner.gears
        self.inputs, self.outputs = inner.inputs, inner.outputs

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        rows = feeds[self.inputs[0].name]
        asked = {name: rows[:, 0, 0, 0] == value for name, value in MARKS.items()}
        if asked["hang"].any():
            time.sleep(1000)
        if asked["error"].any():
            raise ToolchainError("the stand-in fails as it was asked to")
        if asked["die"].any():
            os.kill(os.getpid(), signal.SIGKILL)
        found = self.inner.infer(feeds)
        values: NDArray[Any] = found[self.outputs[0].name].copy()
        values[asked["nan"]] = np.nan
        return {**found, self.outputs[0].name: values}

    def close(self) -> None:
        self.inner.close()


def main() -> int:
    """As the real one."""
    setattr(opening, "open_runner", lambda *args, **options: Faulty(open_runner(*args, **options)))  # noqa: B010 -- mypy
    return child.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
