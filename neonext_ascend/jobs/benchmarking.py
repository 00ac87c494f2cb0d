"""Benchmark: latencies of several contenders, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.errors import NeoNextError, UsageError
from neonext_ascend.jobs.checking import BatchSize, Device, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.environment import machine, versions
from neonext_ascend.reporting.latency import unfinished_words
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.reporting.words import digits
from neonext_ascend.runtimes.registry import Runtime
from neonext_ascend.spec import Bounds
from neonext_ascend.timing.contenders import contender_of, named_by
from neonext_ascend.timing.entry import Contender, Entry, ratios_to_first
from neonext_ascend.timing.latency import CONFIDENCE, FEWEST_SITTINGS, Plan, Timing, measure

MOST = 26  # a letter each
NAME_IN_PLOT = 60  # characters
_USUAL = Plan()

# Given the number of sittings; entered while they run, it gives a function that is called after each.
Counting = Callable[[int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def uncounted(_: int) -> Iterator[Callable[[], None]]:
    """Tells nobody."""
    yield lambda: None


@contextmanager
def telling(lines: Iterable[str], watch: Watch) -> Iterator[None]:
    """What a measurement has found is told where Ctrl-C or a lost device ends it; the lines are made only then."""
    try:
        yield
    except (KeyboardInterrupt, NeoNextError):
        for line in lines:
            watch.note(line)
        raise


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


@checked
def benchmark(
    artifacts: Annotated[Sequence[str | Path], Bounds(min_length=1)],
    *,
    threads: Annotated[int, Bounds(ge=1, le=1024)] = 1,
    batch_size: BatchSize | None = None,
    seconds: Annotated[float, Bounds(ge=1e-3)] | None = None,
    repeats: Annotated[int, Bounds(ge=FEWEST_SITTINGS, le=10**9)] | None = None,
    sittings: Annotated[int, Bounds(ge=FEWEST_SITTINGS, le=1000)] = _USUAL.sittings,
    runtime: Runtime = "auto",
    device: Device = 0,
    plot: str | Path | None = None,
    watch: Watch = SILENT,
    counting: Counting = uncounted,
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
        watch: told of each long step before the measurement, and of its whole sittings where it ends early.
        counting: told of each sitting that is over.

    Raises:
        UsageError, ArtifactError: wrong usage, or an artifact that cannot run.
        ToolchainError: what runs an artifact, or draws, is missing here.
        FileAccessError: a file cannot be read or written.
    """
    if len(artifacts) > MOST:
        raise UsageError(f"{len(artifacts)} artifacts; at most {MOST}, a letter each")
    if seconds is not None and repeats is not None:
        raise UsageError(f"both --seconds {seconds} and --repeats {repeats}; give one")
    plan = Plan(min(sittings, repeats or sittings), _USUAL.seconds if seconds is None else seconds, repeats)
    here, libraries = machine(), versions()
    named = [named_by(word) for word in artifacts]
    path = None if plot is None else Path(plot)
    with plotting(path) as publish:
        contenders = []
        for name in named:
            with watch.working(f"loading {name.word}"):
                contenders.append(contender_of(name, batch_size, threads, runtime, device))
        timings: list[Timing] = []
        with telling(_until_then(contenders, timings, plan), watch), counting(plan.sittings) as after_sitting:
            measure([contender.open for contender in contenders], plan, after_sitting=after_sitting, into=timings)
        entries = tuple(Entry(*each) for each in zip(contenders, timings, ratios_to_first(timings), strict=True))
        if path is not None:
            from neonext_ascend.drawing.latencies import draw_latencies
            from neonext_ascend.reporting.latency import labels

            subtitle = f"{here['cpu']}, {threads} thread{'' if threads == 1 else 's'}"
            seconds_of_each = [entry.timing.seconds for entry in entries]
            publish(draw_latencies(labels(entries, NAME_IN_PLOT), seconds_of_each, subtitle))
    settings = {
        "threads": threads,
        "batch_size": batch_size,
        "seconds": plan.seconds if repeats is None else None,
        "repeats": repeats,
        "sittings": plan.sittings,
        "confidence": CONFIDENCE,
    }
    return Benchmark(entries, here, libraries, settings, path)


def _until_then(contenders: Sequence[Contender], timings: Sequence[Timing], plan: Plan) -> Iterator[str]:
    for contender, timing in zip(contenders, timings, strict=False):
        if seconds := timing.seconds:
            speed = f"{digits(contender.batch * len(seconds) / sum(seconds))} images/s"
            yield f"{contender.name}: {unfinished_words(len(timing.sittings), plan.sittings, speed, seconds)}"
