"""``neonext-ascend inspect``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neonext_ascend.chips import find_soc
from neonext_ascend.cli.om_options import PRECISIONS
from neonext_ascend.cli.options import PATH, json_option
from neonext_ascend.cli.terminal import put_json, say, working
from neonext_ascend.errors import FileAccessError

if TYPE_CHECKING:
    from neonext_ascend.exporters.atc_options import Precision
    from neonext_ascend.exporters.atc_rules import Finding, Inspection

_WIDTH, _INDENT = 80, 9


@click.command(
    "inspect",
    epilog="Exit status: 0 nothing would be refused (warnings or not); 1 something would; 2 wrong usage or input; "
    "5 the file cannot be read.",
)
@click.argument("file", metavar="FILE.onnx", type=PATH)
@click.option("--soc-version", required=True, metavar="NAME", help="The chip to compile for, such as Ascend310P3.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp16",
    show_default=True,
    help="What ATC will be asked for; origin keeps the file's dtypes.",
)
@json_option
def command(file: Path, soc_version: str, precision: Precision, as_json: bool) -> int:
    """What ATC would refuse or quietly change, found before it runs.

    Any ONNX file will do. Nothing is compiled, and weights are not read.
    """
    soc = find_soc(soc_version)
    if not file.exists():
        raise FileAccessError(f"{file}: no such file; expected an ONNX file, such as neonext-ascend export writes")
    with working(f"inspecting {file}"):
        from neonext_ascend.exporters.atc_rules import inspect_onnx
        from neonext_ascend.runtimes.onnx_file import check_onnx_file

        if file.is_file():  # what is no file is said by inspect_onnx; a pipe would never end here
            check_onnx_file(file)
        inspection = inspect_onnx(file, soc, precision)
    if as_json:
        put_json(inspection.to_json())
    else:
        for line in inspection_lines(inspection, file, soc.name, precision):
            say(line)
    return 0 if inspection.accepted else 1


def inspection_lines(inspection: Inspection, file: Path, soc: str, precision: str) -> list[str]:
    """The verdict, then each finding: what is wrong, where, what to do; equal ones together."""
    from neonext_ascend.exporters.atc_rules import alike

    groups = alike(inspection.findings)
    lines = _wrapped("file", f"{file}") + _wrapped("for", f"{soc}, --precision {precision}")
    lines += _wrapped("verdict", _verdict(inspection, groups))
    for group in groups:
        first, more = group[0], len(group) - 1
        code = f" ({first.atc_code})" if first.atc_code else ""
        places = "the whole file" if first.node is None else first.node + (f" and {more} more" if more else "")
        lines += ["", *_wrapped(first.severity, f"{first.rule}{code}")]
        lines += [*_wrapped("  where", places), *_wrapped("  why", first.message), *_wrapped("  do", first.remedy)]
    return lines


def _verdict(inspection: Inspection, groups: list[list[Finding]]) -> str:
    errors = sum(group[0].severity == "error" for group in groups)
    warnings = len(groups) - errors
    counts = f"{errors} {_plural('error', errors)}, {warnings} {_plural('warning', warnings)}"
    if not inspection.accepted:
        return f"ATC would refuse it: {counts}"
    return f"nothing found that ATC would refuse: {counts}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _wrapped(label: str, text: str) -> list[str]:
    """``text`` behind a column for ``label``; names are never broken."""
    # Names come from the file: textwrap makes spaces of line breaks in them, which would look like lines of ours.
    lines = textwrap.wrap(text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{(label if number == 0 else '').ljust(_INDENT)}{line}".rstrip() for number, line in enumerate(lines)]
