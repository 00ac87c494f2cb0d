"""What goes where: results to standard output, words beside them to standard error, progress to a terminal only."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from neonext_ascend.artifacts.names import json_text, readable
from neonext_ascend.errors import FileAccessError

if TYPE_CHECKING:
    from neonext_ascend.jobs.watching import Watch

_T = TypeVar("_T")
_WORTH_A_BAR = 20
# A path may hold one; only lines that are set in are meant as lines.
_LINE_BREAK = re.compile(r"\n(?! {4})")


def printable(text: str) -> str:
    """``text`` without control characters: names and labels come from files and may carry terminal commands."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in readable(text))


def say(text: str, quiet: bool = False) -> None:
    """A line of the result; goes to standard error where standard output is for JSON."""
    if quiet:
        _aside(text)
    else:
        _put(printable(text))


def note(text: str) -> None:
    """Something the user should know."""
    _aside(f"note: {text}")


def warn(text: str) -> None:
    """Something that may be wrong."""
    _aside(f"warning: {text}")


def complain(text: str) -> None:
    """What went wrong: one line, and what is for copying below it, set in."""
    one_line = _LINE_BREAK.sub(r"\\n", text)
    _aside(f"error: {one_line}")


def _put(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileAccessError(f"standard output: cannot write to it: {error.strerror}") from None


def _aside(text: str) -> None:
    """Words that nobody can take must not end the work that they are about."""
    with contextlib.suppress(OSError):
        click.echo(printable(text), err=True)


def put_json(data: Mapping[str, Any]) -> None:
    """The one JSON object of ``--json``."""
    _put(json_text(data, indent=2))


def counting(items: Iterable[_T], count: Callable[[], int], what: str) -> Iterator[_T]:
    """Pass items on with a progress bar, on a terminal, where they are counted, and where it is worth one."""
    if not sys.stderr.isatty() or (total := count()) < _WORTH_A_BAR:
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output may be the same terminal: rich then prints its lines above the bar.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)


def shown_path(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that long work goes on, and the last line about it, on a terminal; quiet when piped."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(what)) as status:
        yield lambda line: status.update(escape(f"{what}: {printable(line.strip())[:60]}"))


def watching(made: Callable[[Any], None] = lambda _: None) -> Watch:
    """A job on this terminal; ``made`` takes each artifact when it is there."""
    from neonext_ascend.jobs.watching import Watch

    return Watch(working, note, warn, made)
