"""Benchmark: latencies of several contenders, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex

from neonext_ascend.errors import UsageError
from neonext_ascend.jobs.checking import one_of, plotting, positive, whole
from neonext_ascend.jobs.contenders import contender_of, named_by
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.environment import machine, versions
from neonext_ascend.runtimes.registry import RUNTIMES, Runtime
from neonext_ascend.timing.entry import Entry, ratios_to_first
from neonext_ascend.timing.latency import CONFIDENCE, FEWEST_SITTINGS, Plan, measure

MOST = 26  # a letter each
_LARGEST_BATCH, _MOST_THREADS, _MOST_SITTINGS, _MOST_REPEATS, _LAST_DEVICE = 2**16, 1024, 1000, 10**9, 1023
NAME_IN_PLOT = 60  # characters
_USUAL = Plan()

# Given the number of sittings; entered while they run, it gives a function that is called after each.
Counting = Callable[[int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def _uncounted(_: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


@dataclass(frozen=True)
class Benchmark:
    """What was measured, on what, and how.

    Args:
        entries: one for each contender, in the order given.
        machine, versions: what speed depends on.
        settings: how much was measured, by the options' names.
        plot: the latencies as SVG, where asked for.
    """

    entries: tuple[Entry, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    plot: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        artifacts = [entry.to_json() for entry in self.entries]
        return {"machine": self.machine, "versions": self.versions, "settings": self.settings, "artifacts": artifacts}


def benchmark(
    artifacts: Sequence[str | Path],
    *,
    threads: SupportsIndex = 1,
    batch_size: SupportsIndex | None = None,
    seconds: float | None = None,
    repeats: SupportsIndex | None = None,
    sittings: SupportsIndex = _USUAL.sittings,
    runtime: Runtime = "auto",
    device: SupportsIndex = 0,
    plot: str | Path | None = None,
    watch: Watch = SILENT,
    counting: Counting = _uncounted,
) -> Benchmark:
    """Time artifacts and models in turns, in an order drawn by lot, in this process.

    Args:
        artifacts: ONNX or OM files, or models by name: ``neonext_t`` folded, ``neonext_t:unfolded`` as trained.
        threads: of the CPU, for each.
        batch_size: of models and dynamic ONNX files, 1 by default.
        seconds: of timed runs in all, 10 by default.
        repeats: timed runs of each, in place of seconds.
        sittings: how often everything is opened afresh; more give a narrower interval.
        runtime: that opens files; ``npu`` for models.
        device: number of the NPU.
        plot: an SVG file for the latencies.
        watch: told of each long step before the measurement.
        counting: told of each sitting that is over.

    Raises:
        UsageError, ArtifactError: wrong usage, or an artifact that cannot run.
        ToolchainError: what runs an artifact, or draws, is missing here.
        FileAccessError: a file cannot be read or written.
    """
    if isinstance(artifacts, str | Path) or not artifacts:
        raise UsageError(f"{artifacts!r}: expected a sequence of artifacts, at least one")
    if len(artifacts) > MOST:
        raise UsageError(f"{len(artifacts)} artifacts; at most {MOST}, a letter each")
    if seconds is not None and repeats is not None:
        raise UsageError(f"both --seconds {seconds} and --repeats {repeats}; give one")
    budget = _USUAL.seconds if seconds is None else positive("--seconds", seconds)
    one_of("--runtime", runtime, RUNTIMES)
    cores, number = whole("--threads", threads, 1, _MOST_THREADS), whole("--device", device, 0, _LAST_DEVICE)
    batch = None if batch_size is None else whole("--batch-size", batch_size, 1, _LARGEST_BATCH)
    runs = None if repeats is None else whole("--repeats", repeats, FEWEST_SITTINGS, _MOST_REPEATS)
    asked = whole("--sittings", sittings, FEWEST_SITTINGS, _MOST_SITTINGS)
    plan = Plan(min(asked, runs or asked), budget, runs)
    here, libraries = machine(), versions()
    named = [named_by(word) for word in artifacts]
    path = None if plot is None else Path(plot)
    with plotting(path) as publish:
        contenders = []
        for name in named:
            with watch.working(f"loading {name.word}"):
                contenders.append(contender_of(name, batch, cores, runtime, number))
        with counting(plan.sittings) as after_sitting:
            timings = measure([contender.open for contender in contenders], plan, after_sitting=after_sitting)
        entries = tuple(Entry(*each) for each in zip(contenders, timings, ratios_to_first(timings), strict=True))
        if path is not None:
            from neonext_ascend.drawing.latencies import draw_latencies
            from neonext_ascend.reporting.latency import labels

            subtitle = f"{here['cpu']}, {cores} thread{'' if cores == 1 else 's'}"
            seconds_of_each = [entry.timing.seconds for entry in entries]
            publish(draw_latencies(labels(entries, NAME_IN_PLOT), seconds_of_each, subtitle))
    settings = {
        "threads": cores,
        "batch_size": batch,
        "seconds": plan.seconds if runs is None else None,
        "repeats": runs,
        "sittings": plan.sittings,
        "confidence": CONFIDENCE,
    }
    return Benchmark(entries, here, libraries, settings, path)
