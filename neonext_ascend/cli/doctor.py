"""``neonext-ascend doctor``."""

from __future__ import annotations

import textwrap

import click

from neonext_ascend.cli.options import json_option
from neonext_ascend.cli.terminal import put_json, say, working
from neonext_ascend.errors import ToolchainError
from neonext_ascend.machine.diagnosis import ABILITIES, Ability, Diagnosis

_MARKS = {"ok": "ok", "missing": "MISSING", "problem": "PROBLEM", "info": ""}
_WIDTH = 80


@click.command("doctor", epilog="Exit status: 0 looked; 3 something that --require names is not possible here.")
@click.option("--require", type=click.Choice(ABILITIES), multiple=True, help="Fail where this is not possible.")
@json_option
def command(require: tuple[Ability, ...], as_json: bool) -> None:
    """What is installed, what is missing, what follows from it."""
    from neonext_ascend import jobs

    with working("looking at this machine"):
        diagnosis = jobs.diagnose()
    if as_json:
        put_json(diagnosis.to_json())
    else:
        _say(diagnosis)
    for ability in require:
        can = diagnosis.can(ability)
        if not can.possible:
            raise ToolchainError(f"{ability} is not possible here: {can.words}")


def _say(diagnosis: Diagnosis) -> None:
    """Lines of at most 80 columns; commands for copying stand on one line each, however long."""
    for finding in diagnosis.findings:
        head = f"{finding.name.ljust(12)} {_MARKS[finding.status].ljust(8)}"
        _wrapped(head, finding.value)
        if finding.remedy and finding.copy:
            say(f"{' ' * len(head)} do: {finding.remedy}")
        elif finding.remedy:
            _wrapped(" " * len(head), f"do: {finding.remedy}")
    say("\nThis machine")
    for can in diagnosis.abilities:
        _wrapped(" ", can.reason + ("" if can.command is None else "; use Docker:"))
        if can.command is not None:
            say(can.command)
    docker = diagnosis.docker
    say("")
    _wrapped("Docker,", docker.words + (":" if docker.run else ""))
    for line in (*docker.build, *([docker.run] if docker.run else [])):
        say(line)


def _wrapped(head: str, text: str) -> None:
    lines = textwrap.wrap(text, _WIDTH - len(head) - 1, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        say(f"{head if number == 0 else ' ' * len(head)} {line}".rstrip())
