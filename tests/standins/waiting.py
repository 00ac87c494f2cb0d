"""A device that takes no processor of its host's, as an NPU.

``python -m tests.standins.waiting ARTIFACT MAX_DELAY_MS`` is a server on a free port whose device's process opens and
times an artifact by its real runner, and from then on waits for as long as a batch took. For measurements of the server
alone: its answers after that are not the rows'.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.registry import open_runner
from neonext_ascend.serving.device import child, opening
from neonext_ascend.serving.device.opening import Opened, open_checked
from neonext_ascend.serving.logs import log
from neonext_ascend.serving.server import serve_until_told
from neonext_ascend.serving.settings import Settings

_SPIN = 0.0002  # seconds before the end, in which it looks at the clock: a sleep may be so late


class Waiting(Runner):
    """Another runner until it is told how long its batches take."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self.name, self.where, self.gears = inner.name, inner.where, inner.gears
        self.inputs, self.outputs = inner.inputs, inner.outputs
        self.seconds: dict[int, float] = {}

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        if not self.seconds:
            return self.inner.infer(feeds)
        rows = len(feeds[self.inputs[0].name])
        end = time.perf_counter() + self.seconds[min(size for size in self.seconds if size >= rows)]
        time.sleep(max(0.0, end - time.perf_counter() - _SPIN))
        while time.perf_counter() < end:
            pass
        shapes = {spec.name: (rows, *(int(n) for n in spec.shape[1:])) for spec in self.outputs}
        return {spec.name: np.zeros(shapes[spec.name], spec.dtype) for spec in self.outputs}

    def close(self) -> None:
        self.inner.close()


def _open(*args: object, **options: object) -> Opened:
    opened = open_checked(*args, **options)  # type: ignore[arg-type] # as it is called
    assert isinstance(opened.runner, Waiting)
    opened.runner.seconds = opened.gears
    return opened


def main(arguments: list[str]) -> int:
    """The server, or, told two numbers, the device's process."""
    if all(word.isdigit() for word in arguments):
        setattr(opening, "open_runner", lambda *args, **options: Waiting(open_runner(*args, **options)))  # noqa: B010 -- mypy
        setattr(child, "open_checked", _open)  # noqa: B010 -- mypy
        return child.main(arguments)
    settings = Settings(
        port=0, threads=1, max_delay=float(arguments[1]) / 1e3, command=(sys.executable, "-m", "tests.standins.waiting")
    )
    serve_until_told([arguments[0]], settings, log, lambda ready: print(f"waiting at {ready.url}", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
