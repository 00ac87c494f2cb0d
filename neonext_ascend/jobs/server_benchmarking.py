"""Benchmark of servers: latencies and throughput under a load, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from neonext_ascend.errors import ArgumentError, ToolchainError, UsageError, counted
from neonext_ascend.jobs.benchmarking import MOST, NAME_IN_PLOT, Benchmark, Counting, telling, uncounted
from neonext_ascend.jobs.checking import BatchSize, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.environment import machine, versions
from neonext_ascend.reporting.load import errors_words, sittings_words
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.reporting.words import digits
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.spec import Bounds
from neonext_ascend.timing.entry import Contender, ratios_to_first
from neonext_ascend.timing.latency import CONFIDENCE, FEWEST_SITTINGS, Plan, Run, Timing
from neonext_ascend.timing.load import NOT_SENT, Arrivals, Encoding, Load, LoadEntry, LoadSitting

MANY = 64  # clients of an open loop
_MANY_ENOUGH = 100  # requests expected in a sitting
BUSY = 0.8  # of a core, from which on this side may be what is measured
_USUAL = Plan()


@dataclass(frozen=True)
class ServerBenchmark(Benchmark):
    """The same of servers; machine and versions are this side's."""

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        told = Benchmark.to_json(self)
        told["servers"] = told.pop("artifacts")
        return told


@checked
def benchmark_servers(
    urls: Annotated[Sequence[str], Bounds(min_length=1)],
    *,
    clients: Annotated[int, Bounds(ge=1, le=4096)] | None = None,
    rate: Annotated[float, Bounds(ge=1e-3, le=1e6)] | None = None,
    arrivals: Arrivals = "poisson",
    seed: Annotated[int, Bounds(ge=0, le=2**32 - 1)] = 0,
    pictures: str | Path | None = None,
    batch_size: BatchSize | None = None,
    encoding: Encoding = "auto",
    timeout: Annotated[float, Bounds(ge=0.01, le=86400)] = 30.0,
    seconds: Annotated[float, Bounds(ge=0.1)] = _USUAL.seconds,
    sittings: Annotated[int, Bounds(ge=FEWEST_SITTINGS, le=1000)] = _USUAL.sittings,
    api_key_file: str | Path | None = None,
    certificate: str | Path | None = None,
    plot: str | Path | None = None,
    watch: Watch = SILENT,
    counting: Counting = uncounted,
) -> ServerBenchmark:
    """Put servers of the Open Inference Protocol under a load, in turns, from this process.

    Args:
        urls: ``http://HOST:PORT``, with ``/v2/models/NAME`` where one serves several.
        clients: connections, each with one request under way; 1 in a closed loop and 64 in an open one by default.
        rate: requests a second, whatever the server does: an open loop. Latencies count from the moment that a request
            was meant to be sent. ``None`` is a closed loop.
        arrivals, seed: of an open loop's requests: at random (a Poisson process), or evenly.
        pictures: a picture or a folder, sent as files; noise in the model's tensor where there is none.
        batch_size: rows or pictures in each request, 1 by default.
        encoding: of tensors, ``binary`` or ``json``; ``auto`` is binary where the server has it.
        timeout: seconds after which a request is given up.
        seconds: that count, in all; warming up comes on top.
        sittings: how often everything connects afresh; more give a narrower interval.
        api_key_file: one line, which is sent along.
        certificate: which an ``https`` server's own is, or is signed by (PEM).
        plot: an SVG file for the latencies.
        watch: told of each long step, of what makes the figures doubtful, and of the sittings where it ends early.
        counting: told of each sitting that is over.

    Raises:
        UsageError: wrong usage, no such model, or one that does not take this.
        ToolchainError: nobody answers, the server is not ready, or answered nothing in a whole sitting, which is the
            last.
        FileAccessError: a file cannot be read or written.
    """
    try:
        from neonext_ascend.client.load import measure_servers
        from neonext_ascend.client.place import without_password
        from neonext_ascend.client.subject import subject_of
        from neonext_ascend.serving.web.security import read_key
    except ImportError as error:
        raise ToolchainError(
            f"a server's benchmark needs {error.name}, which is not installed: pip install '.[serve]' in the checkout"
        ) from None
    if len(urls) > MOST:
        raise UsageError(f"{len(urls)} servers; at most {MOST}, a letter each")
    if certificate is not None and not any(url.lower().startswith("https:") for url in urls):
        raise UsageError(f"--certificate is for https; {without_password(urls[0])} is without: leave it out")
    load = Load(clients or (1 if rate is None else MANY), rate, arrivals, seed, timeout)
    if rate is not None:
        _refuse_rarity(load, rate, seconds, sittings, len(urls))
    api_key = None if api_key_file is None else read_key(Path(api_key_file))
    here, libraries = machine(), versions()
    path = None if plot is None else Path(plot)
    with plotting(path) as publish:
        subjects = []
        for url in urls:
            with watch.working(f"asking {without_password(url)}"):
                subjects.append(
                    subject_of(
                        url,
                        rows=batch_size,
                        pictures=None if pictures is None else Path(pictures),
                        encoding=encoding,
                        timeout=timeout,
                        api_key=api_key,
                        certificate=None if certificate is None else Path(certificate),
                    )
                )
        found: list[list[LoadSitting]] = []
        asked = [subject.url for subject in subjects]
        with telling(_until_then(asked, found, sittings), watch), counting(sittings) as after_sitting:
            measure_servers(subjects, load, seconds, sittings, after_sitting, found)
        _refuse_silence(asked, found, sittings, watch)
        timings = [Timing([[sitting.latencies] for sitting in each]) for each in found]
        contenders = [Contender(s.url, None, s.dtype, s.rows, None, s.where, _not_opened) for s in subjects]
        entries = tuple(
            LoadEntry(contender, timing, ratio, load, each)
            for contender, timing, ratio, each in zip(contenders, timings, ratios_to_first(timings), found, strict=True)
        )
        _doubts(entries, watch)
        if path is not None:
            from neonext_ascend.drawing.latencies import draw_latencies
            from neonext_ascend.reporting.latency import labels

            publish(draw_latencies(labels(entries, NAME_IN_PLOT), [t.seconds for t in timings], load.words()))
    settings = {
        "clients": load.clients,
        "rate": rate,
        "arrivals": None if rate is None else arrivals,
        "seed": None if rate is None else seed,
        "batch_size": subjects[0].rows if len({subject.rows for subject in subjects}) == 1 else None,
        "pictures": None if pictures is None else str(pictures),
        "encoding": encoding,
        "timeout": timeout,
        "seconds": seconds,
        "sittings": sittings,
        "confidence": CONFIDENCE,
    }
    return ServerBenchmark(entries, here, libraries, settings, path)


def _not_opened() -> AbstractContextManager[Run]:
    raise AssertionError("a server is measured by its load")


def _refuse_rarity(load: Load, rate: float, seconds: float, sittings: int, servers: int) -> None:
    """Raise where a sitting would have no request; of so many that they come anyway, none is drawn."""
    count = sittings * servers
    if rate * seconds > _MANY_ENOUGH * count or load.fewest(seconds / count, sittings):
        return
    needed = math.ceil(seconds)
    while not load.fewest(needed / count, sittings):
        needed = math.ceil(1.2 * needed)
    words = (
        f"a request in each of {count} sittings, {seconds / count:g} s long; give --seconds {needed}, or a higher rate"
    )
    raise ArgumentError("rate", f"{rate:g}", words)


def _refuse_silence(urls: Sequence[str], found: Sequence[Sequence[LoadSitting]], sittings: int, watch: Watch) -> None:
    """Raise where a sitting has nothing to tell, and tell what the others had."""
    for url, each in zip(urls, found, strict=True):
        if each and not (last := each[-1]).latencies:
            for line in _until_then(urls, found, sittings):
                watch.note(line)
            what = f"no good answer in sitting {len(each)} of {sittings}, {last.span:g} s long"
            why = errors_words(last.errors) or "nothing was sent"
            raise ToolchainError(f"{url}: {what} ({why}); see its log, or give more --seconds")


def _until_then(urls: Sequence[str], found: Sequence[Sequence[LoadSitting]], sittings: int) -> Iterator[str]:
    for url, each in zip(urls, found, strict=False):
        if good := [sitting for sitting in each if sitting.latencies]:
            yield f"{url}: {sittings_words(good, sittings)}"


def _doubts(entries: Sequence[LoadEntry], watch: Watch) -> None:
    for entry in entries:
        if entry.client > BUSY:
            watch.warn(
                f"{entry.of.name}: this client took {entry.client:.2f} of a core, which may be what limits the figures"
            )
        words = {kind: said for sitting in entry.sittings for kind, said in sitting.words.items()}
        for kind, said in words.items():
            if not RefusedError(int(kind), said).again:  # else the load itself is the reason
                watch.warn(f"{entry.of.name}: {counted(entry.errors[kind], 'answer')} of HTTP {kind}, such as: {said}")
        if not entry.keeps_up:
            told = f"answers {digits(entry.answers_per_second)} of {digits(entry.asked_per_second)} requests a second"
            if skipped := entry.errors[NOT_SENT]:
                told += f", and {counted(skipped, 'request')} could not be sent in time"
            watch.warn(f"{entry.of.name}: {told}; it or this side does not keep up, and latencies grow with --seconds")
