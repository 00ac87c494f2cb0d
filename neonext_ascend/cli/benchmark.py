"""``neonext-ascend benchmark``."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neonext_ascend.cli.options import PATH, json_option, runtime_options
from neonext_ascend.cli.terminal import put_json, say, working
from neonext_ascend.errors import UsageError
from neonext_ascend.machine.environment import machine, versions

if TYPE_CHECKING:
    from neonext_ascend.runtimes.registry import Runtime
    from neonext_ascend.timing.contenders import Contender
    from neonext_ascend.timing.report import Entry

# The help needs these before anything is loaded; tests/cli/test_benchmark.py compares them with the measurement's.
SECONDS, SITTINGS, FEWEST_SITTINGS, CONFIDENCE = 10.0, 10, 6, 0.95
NAME_IN_PLOT = 60  # characters


@click.command(
    "benchmark",
    epilog="Exit status: 0 measured; 2 wrong usage or an artifact that cannot run; 3 what runs it is missing; 5 a file "
    "cannot be read or written; 130 interrupted.",
)
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of the CPU, for each artifact."
)
@click.option("--batch-size", type=click.IntRange(1, 2**16), help="Of models and dynamic ONNX files [default: 1].")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Of timed runs in all [default: 10].")
@click.option("--repeats", type=click.IntRange(FEWEST_SITTINGS), help="Timed runs of each, in place of --seconds.")
@click.option(
    "--sittings",
    type=click.IntRange(FEWEST_SITTINGS, 1000),
    default=SITTINGS,
    show_default=True,
    help="How often everything is opened afresh; more give a narrower interval.",
)
@runtime_options
@click.option("--plot", type=PATH, metavar="FILE.svg", help="Draw the latencies.")
@json_option
def command(
    artifacts: tuple[str, ...],
    threads: int,
    batch_size: int | None,
    seconds: float | None,
    repeats: int | None,
    sittings: int,
    runtime: Runtime,
    device: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Latency percentiles and images a second of ARTIFACTs, side by side.

    ARTIFACT is an ONNX or OM file; or a model in PyTorch by its name: neonext_t as it is deployed, folded, and
    neonext_t:unfolded as it is trained. The same one may be given twice: their interval shows what the machine's
    noise alone does.

    All run in turns, in an order drawn by lot, on one machine and in one process. The ratio of each to the first has a
    95 % interval that neighbouring runs, which resemble each other, do not narrow. Opening and warming up come on top
    of --seconds.
    """
    _check_usage(artifacts, seconds, repeats, plot)
    budget = SECONDS if seconds is None and repeats is None else seconds
    sittings = min(sittings, repeats or sittings)
    here, libraries = machine(), versions()
    with contextlib.nullcontext() if plot is None else _drawing(plot) as publish:
        contenders = _contenders(artifacts, batch_size, threads, runtime, device)
        entries = _measured(contenders, budget, repeats, sittings)
        if publish is not None:
            from neonext_ascend.drawing.latencies import draw_latencies
            from neonext_ascend.timing.report import labels

            subtitle = f"{here['cpu']}, {_count(threads, 'thread')}"
            publish(draw_latencies(labels(entries, NAME_IN_PLOT), [e.timing.seconds for e in entries], subtitle))
    if as_json:
        settings = {
            "threads": threads,
            "batch_size": batch_size,
            "seconds": budget,
            "repeats": repeats,
            "sittings": sittings,
            "confidence": CONFIDENCE,
        }
        shown = [entry.to_json() for entry in entries]
        put_json({"machine": here, "versions": libraries, "settings": settings, "artifacts": shown})
        return
    from neonext_ascend.timing.report import latency_table, machine_lines, ratio_lines

    measured = f"{_count(threads, 'thread')} each; {sittings} sittings"
    for line in [*machine_lines(here, libraries), measured, "", *latency_table(entries)]:
        say(line)
    if len(entries) > 1:
        say("")
    for line in ratio_lines(entries):
        say(line)
    if plot is not None:
        say(f"plot     {plot}")


def _check_usage(artifacts: tuple[str, ...], seconds: float | None, repeats: int | None, plot: Path | None) -> None:
    if seconds is not None and repeats is not None:
        raise UsageError(f"both --seconds {seconds:g} and --repeats {repeats}; give one")
    if seconds is not None and not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds}: expected a number")
    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: an SVG is drawn; give a file name that ends in .svg")
    if len(artifacts) > 26:
        raise UsageError(f"{len(artifacts)} artifacts; at most 26, a letter each")


def _contenders(
    words: tuple[str, ...], batch_size: int | None, threads: int, runtime: Runtime, device: int
) -> list[Contender]:
    with working("loading"):
        from neonext_ascend.timing.contenders import contender_of, named_by
    contenders = []
    for named in [named_by(word) for word in words]:
        with working(f"loading {named.word}"):
            contenders.append(contender_of(named, batch_size, threads, runtime, device))
    return contenders


def _measured(contenders: list[Contender], seconds: float | None, repeats: int | None, sittings: int) -> list[Entry]:
    from neonext_ascend.timing.latency import Plan, measure
    from neonext_ascend.timing.report import Entry, ratios_to_first

    plan = Plan(sittings, seconds or SECONDS, repeats)
    with _bar(plan.sittings) as advance:
        timings = measure([contender.open for contender in contenders], plan, after_sitting=advance)
    return [
        Entry(c.name, c.path, c.dtype, c.batch, c.threads, c.where, timing, ratio)
        for c, timing, ratio in zip(contenders, timings, ratios_to_first(timings), strict=True)
    ]


@contextlib.contextmanager
def _drawing(path: Path) -> Iterator[Callable[[str], None]]:
    """A way to write the plot at the end, which fails at the beginning where it would fail at the end."""
    from neonext_ascend.artifacts.staging import staging

    if path.is_dir():
        raise UsageError(f"--plot {path}: is a folder; give a file name that ends in .svg")
    with staging(path.parent) as stage:

        def publish(text: str) -> None:
            (stage.folder / path.name).write_text(text, encoding="utf-8")
            stage.publish(path.name)

        yield publish


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, drawn between sittings only: a thread that redraws would take part in what is measured."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
    with progress:
        task = progress.add_task("measuring", total=total)
        progress.refresh()

        def advance() -> None:
            progress.advance(task)
            progress.refresh()

        yield advance


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
