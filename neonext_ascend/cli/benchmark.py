"""``neonext-ascend benchmark``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.cli.options import PATH, json_option, runtime_options
from neonext_ascend.cli.terminal import put_json, say, shown_path, watching, working

if TYPE_CHECKING:
    from neonext_ascend.jobs.benchmarking import Benchmark

# The help needs it before anything is loaded; tests/cli/test_benchmark.py compares it with the measurement's.
SITTINGS = 10


@click.command(
    "benchmark",
    epilog="Exit status: 0 measured; 2 wrong usage or an artifact that cannot run; 3 what runs it, or draws, is "
    "missing; 5 a file cannot be read or written; 130 interrupted.",
)
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("--threads", type=int, default=1, show_default=True, help="Of the CPU, for each artifact.")
@click.option("--batch-size", type=int, help="Of models and dynamic ONNX files [default: 1].")
@click.option("--seconds", type=float, help="Of timed runs in all [default: 10].")
@click.option("--repeats", type=int, help="Timed runs of each, in place of --seconds; at least 6.")
@click.option(
    "--sittings",
    type=int,
    default=SITTINGS,
    show_default=True,
    help="How often everything is opened afresh, 6 to 1000; more give a narrower interval.",
)
@runtime_options
@click.option("--plot", type=PATH, metavar="FILE.svg", help="Draw the latencies.")
@json_option
def command(artifacts: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Latency percentiles and images a second of ARTIFACTs, side by side.

    ARTIFACT is an ONNX or OM file; or a model in PyTorch by its name: neonext_t as it is deployed, folded, and
    neonext_t:unfolded as it is trained. The same one may be given twice: their interval shows what the machine's
    noise alone does.

    All run in turns, in an order drawn by lot, on one machine and in one process. The ratio of each to the first has a
    95 % interval that neighbouring runs, which resemble each other, do not narrow. Opening and warming up come on top
    of --seconds.
    """
    with working("loading"):
        from neonext_ascend import jobs

        run = jobs.benchmark
    result = run(artifacts, **options, watch=watching(), counting=_bar)
    if as_json:
        put_json(result.to_json())
    else:
        for line in _lines(result):
            say(line)


def _lines(result: Benchmark) -> list[str]:
    from neonext_ascend.reporting.latency import latency_table, machine_lines, ratio_lines

    threads, sittings = result.settings["threads"], result.settings["sittings"]
    lines = machine_lines(result.machine, result.versions)
    lines += [f"{threads} thread{'' if threads == 1 else 's'} each; {sittings} sittings", ""]
    lines += latency_table(result.entries)
    if len(result.entries) > 1:
        lines += ["", *ratio_lines(result.entries)]
    return lines if result.plot is None else [*lines, f"plot     {shown_path(result.plot)}"]


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
