"""Write ``docs/commands.md`` from the commands themselves.

python tools/write_command_reference.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from neonext_ascend.cli.main import COMMANDS, cli

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
PROGRAM = "neonext-ascend"
EXIT_STATUS = "Exit status:"

INTRODUCTION = """\
# Commands

Every command has `--help`. Results go to standard output; notes, warnings and errors go to standard error.
With `--json` standard output holds one JSON object and nothing else.

This page is written by `python tools/write_command_reference.py`, from the commands themselves.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name=PROGRAM, **cli.context_settings)
    overview = _table("command", "what it does", [(_link(name), text) for name, (_, text) in COMMANDS.items()])
    sections = [INTRODUCTION, overview, f"Exit status, over all commands:\n\n{_exit_status(PROGRAM, cli)}"]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name, **command.context_settings)
        sections.append(_section(name, command, inner))
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def _section(name: str, command: click.Command, context: click.Context) -> str:
    usage = " ".join([PROGRAM, name, *command.collect_usage_pieces(context)])
    # Newer versions of click list arguments here too; without words of their own the usage line says it all.
    records = (option.get_help_record(context) for option in command.get_params(context))
    options = [(f"`{record[0]}`", " ".join(record[1].split())) for record in records if record and record[1]]
    parts = [
        f"## {name}",
        f"```text\n{usage}\n```",
        _paragraphs(command.help or ""),
        _table("option", "meaning", options),
        f"Exit status:\n\n{_exit_status(name, command)}",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _link(name: str) -> str:
    return f"[{name}](#{name})"


def _paragraphs(text: str) -> str:
    """A docstring as Markdown: one line a paragraph."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text.replace("\b", "")))
    return "\n\n".join(" ".join(block.split()) for block in blocks)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    """Two columns; a bar inside a cell would end it."""
    cells = [(left, right), ("---", "---"), *((a.replace("|", r"\|"), b.replace("|", r"\|")) for a, b in rows)]
    return "".join(f"| {a} | {b} |\n" for a, b in cells)


def _exit_status(name: str, command: click.Command) -> str:
    """The epilog's ``Exit status: 0 good; 1 ...`` as a list, and below it the sentences that follow."""
    before, found, statuses = " ".join((command.epilog or "").split()).partition(EXIT_STATUS)
    if not found:
        raise SystemExit(f"{name}: its epilog does not tell the exit status")
    listed, _, after = statuses.strip().partition(". ")
    lines = []
    for status in re.split(r"; (?=\d)", listed.rstrip(".")):
        code, _, meaning = status.partition(" ")
        lines.append(f"- {code}: {meaning or 'good'}")
    return "\n\n".join(part for part in (before.strip(), "\n".join(lines), after) if part)


def main() -> None:
    """Write it."""
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
