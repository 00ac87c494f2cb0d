"""Runs in the environment that has the vendor's packages: lower and compile every kernel, write the results.

``python -m tests.vendor_compiler.inside FILE``; :mod:`tests.vendor_compiler.check` makes the environment and judges.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from neonext_ascend.kernels.triton_neocell import launches
from tests.vendor_compiler.bishengir import FLAGS, Verdict, compile_kernel
from tests.vendor_compiler.broken_kernel import BrokenLaunch
from tests.vendor_compiler.lowering import Kernel, Launch, Refused, specialise, triton_ir, ttadapter
from tests.vendor_compiler.shapes import BATCHES, DIRECTIONS, DTYPES, TARGETS, Direction, StageShape, stage_shapes

Verdicts = dict[str, Verdict]

PACKAGES = ("ascendnpu-ir", "torch", "triton-ascend")
# The vendor's launcher raises an error beyond it.
LARGEST_GRID = 65535
# A tile of this many rows and columns fits no buffer.
FAR_TOO_LARGE = 1024


class Bench:
    """Compiles on all cores, each kernel once, for every target."""

    def __init__(self, pool: ThreadPoolExecutor, scratch: Path) -> None:
        self._pool, self._scratch = pool, scratch
        self._number = itertools.count()

    def start(self, kernel: Kernel) -> Future[Verdicts]:
        """Triton keeps to this thread; the vendor's programs run in the pool."""
        try:
            return self._pool.submit(self._lower, triton_ir(kernel))
        except Refused as refused:
            done: Future[Verdicts] = Future()
            done.set_result(_of_all(refused))
            return done

    def start_text(self, text: str) -> Future[Verdicts]:
        """Of text that is lowered already."""
        return self._pool.submit(self._compile, text)

    def _lower(self, text: str) -> Verdicts:
        try:
            return self._compile(ttadapter(text))
        except Refused as refused:
            return _of_all(refused)

    def _compile(self, text: str) -> Verdicts:
        folder = self._scratch / str(next(self._number))
        return {target: compile_kernel(text, target, folder / target) for target in TARGETS}


def _of_all(refused: Refused) -> Verdicts:
    """Refused before the target matters."""
    return dict.fromkeys(TARGETS, Verdict(False, str(refused)))


def main(file: Path) -> None:
    """Everything, to ``file`` as JSON."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        bench = Bench(pool, Path(scratch))
        file.write_text(json.dumps(results(bench)), encoding="utf-8")


def results(bench: Bench) -> dict[str, Any]:
    """What is committed, as measured here."""
    kernels: dict[Kernel, str] = {}
    cases = [
        {"shape": shape.to_json(), "stages": stages, "direction": direction, "dtype": dtype, "kernels": names}
        for shape, stages in stage_shapes().items()
        for direction in DIRECTIONS
        for dtype in DTYPES
        if (names := _names(kernels, shape, direction, dtype))
    ]
    started = {kernel: bench.start(kernel) for kernel in kernels}
    verdicts = {kernel: future.result() for kernel, future in started.items()}
    return {
        "packages": {name: version(name).partition("+")[0] for name in PACKAGES},
        "flags": list(FLAGS),
        "batches": {dtype: list(batches) for dtype, batches in BATCHES.items()},
        "targets": {target: _capacity(verdicts.values(), target) for target in TARGETS},
        "cases": cases,
        "kernels": {
            name: {
                "function": kernel.name,
                "x": dict(kernel.signature)["x"],
                "constants": dict(kernel.constants),
                "targets": {target: verdict.to_json() for target, verdict in verdicts[kernel].items()},
            }
            for kernel, name in kernels.items()
        },
        "controls": {name: future.result()[TARGETS[0]].to_json() for name, future in controls(bench)},
    }


def _names(kernels: dict[Kernel, str], shape: StageShape, direction: Direction, dtype: str) -> list[str]:
    """The kernels of one case at all batches, by name; new ones are added to ``kernels``."""
    found = dict.fromkeys(
        kernels.setdefault(specialise(launch), f"k{len(kernels) + 1}")
        for batch in BATCHES[dtype]
        for launch in _launches(shape, batch, dtype, direction)
    )
    return list(found)


def _launches(shape: StageShape, batch: int, dtype: str, direction: Direction) -> Iterator[Launch]:
    for launch in launches(shape.geometry, batch, shape.height, shape.width, dtype, direction):
        programs = 1
        for size in launch.grid:
            programs *= size
        if programs > LARGEST_GRID:
            raise SystemExit(
                f"{launch.name}: {programs} programs for {shape} and batch {batch}; at most {LARGEST_GRID}"
            )
        yield launch


def _capacity(verdicts: Iterable[Verdicts], target: str) -> dict[str, int]:
    """What every lowered file for a target says that its core has."""
    found = {of[target].capacity for of in verdicts if of[target].accepted}
    if len(found) > 1:
        raise SystemExit(f"{target}: the lowered files disagree about the buffers: {sorted(found)}")
    return dict(found.pop()) if found else {}


def controls(bench: Bench) -> Iterator[tuple[str, Future[Verdicts]]]:
    """What must be refused, else the check could not fail: see ``check.py`` for what is asked of the messages."""
    shape = next(iter(stage_shapes()))
    launch = next(_launches(shape, 1, DTYPES[0], "forward"))
    tiles = {"TILE_H": FAR_TOO_LARGE, "TILE_W": FAR_TOO_LARGE}
    large = launches(shape.geometry, 1, shape.height, shape.width, DTYPES[0], "forward", tiles)[0]
    yield "tile far too large", bench.start(specialise(large))
    yield "tiles that do not fit", bench.start(specialise(BrokenLaunch()))
    whole = ttadapter(triton_ir(specialise(launch)))
    yield "lowered text cut short", bench.start_text(whole[: len(whole) // 2])
    # And the uncut one is accepted, so that it is the cut that was refused.
    yield "lowered text", bench.start_text(whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
