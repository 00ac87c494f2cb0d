"""``neonext-ascend benchmark``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.cli.options import PATH, given, json_option, runtime_options
from neonext_ascend.cli.terminal import put_json, say, shown_path, watching, working
from neonext_ascend.errors import UsageError

if TYPE_CHECKING:
    from neonext_ascend.jobs.benchmarking import Benchmark

# The help needs it before anything is loaded; tests/cli/test_benchmark.py compares it with the measurement's.
SITTINGS = 10
# What is said of files and models alone, and of servers alone.
_OF_FILES = ("threads", "repeats", "runtime", "device")
_OF_SERVERS = (
    "clients", "rate", "arrivals", "seed", "pictures", "encoding", "timeout", "api_key_file", "certificate"
)  # fmt: skip


@click.command(
    "benchmark",
    epilog="Exit status: 0 measured; 2 wrong usage or an artifact that cannot run; 3 what runs it, or draws, is "
    "missing, or no server answers; 5 a file cannot be read or written; 130 interrupted.",
)
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("--threads", type=int, default=1, show_default=True, help="Of the CPU, for each artifact.")
@click.option("--batch-size", type=int, help="Of models, dynamic ONNX files and requests [default: 1].")
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
@click.option("--clients", type=int, help="Connections to a server [default: 1, with --rate 64].")
@click.option("--rate", type=float, help="Requests a second, whatever the server does (open loop).")
@click.option(
    "--arrivals",
    type=click.Choice(("poisson", "fixed")),
    default="poisson",
    show_default=True,
    help="Of an open loop's requests: at random, or evenly.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals at random.")
@click.option("--pictures", type=PATH, metavar="FOLDER", help="Send these pictures in place of noise.")
@click.option(
    "--encoding",
    type=click.Choice(("auto", "binary", "json")),
    default="auto",
    show_default=True,
    help="Of tensors; auto: binary where the server has it.",
)
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds until a request is given up.")
@click.option("--api-key-file", type=PATH, metavar="FILE", help="One line, which is sent to each server given.")
@click.option("--certificate", type=PATH, metavar="FILE", help="PEM; of an https server that the system does not know.")
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

    ARTIFACT may be a server of the Open Inference Protocol: http://HOST:PORT, or http://HOST:PORT/v2/models/NAME where
    it serves several. Clients wait for their answers (closed loop), or requests come at a --rate, and then each
    latency counts from the moment that it was meant to be sent. Several servers are asked in turns.
    """
    from neonext_ascend.client.place import without_password

    urls = [word for word in artifacts if word.lower().startswith(("http://", "https://"))]
    if 0 < len(urls) < len(artifacts):
        other = (set(artifacts) - set(urls)).pop()
        raise UsageError(f"{without_password(urls[0])} is a server, {other} is not; time them one by one")
    for name in sorted(given(*(_OF_FILES if urls else _OF_SERVERS))):
        option, what = f"--{name.replace('_', '-')}", "files and models" if urls else "servers"
        raise UsageError(f"{option} is for {what}; {without_password(artifacts[0])} is none: leave it out")
    for name in sorted(given("arrivals", "seed")):
        if options["rate"] is None or (name == "seed" and options["arrivals"] == "fixed"):
            needed = (
                "an open loop; give --rate with it" if options["rate"] is None else "arrivals at random; leave it out"
            )
            raise UsageError(f"--{name} is of {needed}")
    for name in _OF_FILES if urls else _OF_SERVERS:
        options.pop(name)
    if urls and options["seconds"] is None:
        options.pop("seconds")
    with working("loading"):
        from neonext_ascend import jobs

        run: Any = jobs.benchmark_servers if urls else jobs.benchmark
    result = run(artifacts, **options, watch=watching(), counting=_bar)
    if as_json:
        put_json(result.to_json())
    else:
        for line in _lines(result):
            say(line)


def _lines(result: Benchmark) -> list[str]:
    from neonext_ascend.reporting.latency import latency_table, machine_lines, ratio_lines
    from neonext_ascend.reporting.load import load_lines

    settings = result.settings
    lines = machine_lines(result.machine, result.versions)
    if "threads" in settings:
        how = f"{settings['threads']} thread{'' if settings['threads'] == 1 else 's'} each"
    else:
        how = load_lines(result.entries)[0]
    lines += [f"{how}; {settings['sittings']} sittings", "", *latency_table(result.entries)]
    if "threads" not in settings:
        lines += ["", *load_lines(result.entries)[1:]]
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
