"""``neonext-ascend inspect``."""

from __future__ import annotations

import textwrap
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from neonext_ascend.cli.export_options import PRECISIONS
from neonext_ascend.cli.inspect_model import Batches, LayoutWord, ModelRequest, inspect_model
from neonext_ascend.cli.options import PATH, ModelName, config_option, image_size_option, json_option
from neonext_ascend.cli.terminal import put_json, say, working
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.spec import LAYOUTS

if TYPE_CHECKING:
    from neonext_ascend.exporters.atc_rules.rules import Finding, Inspection
    from neonext_ascend.exporters.om_file.options import Precision
    from neonext_ascend.models.config import NetworkConfig

_WIDTH, _INDENT = 80, 9


@click.command(
    "inspect",
    epilog="Exit status: 0 nothing would be refused (warnings or not), or the cost is told; 1 something would; 2 wrong "
    "usage or input; 5 a file cannot be read or written.",
)
@click.argument("subject", metavar="FILE.onnx|MODEL", required=False, type=ModelName())
@click.option("--soc-version", required=True, metavar="NAME", help="The chip to compile for, such as Ascend310P3.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp16",
    show_default=True,
    help="Of a FILE: what ATC will be asked for; origin keeps the file's dtypes.",
)
@click.option(
    "--batch-size",
    "batches",
    type=Batches(),
    metavar="N,N,...",
    default="1",
    show_default=True,
    help="Of a MODEL: images at once, one or several numbers.",
)
@click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="Of a MODEL's maps; auto compares both.",
)
@image_size_option
@config_option
@click.option(
    "--svg",
    type=PATH,
    metavar="FILE.svg",
    help="Of a MODEL: where its roofline is drawn [default: roofline-MODEL-NAME.svg in the current folder].",
)
@click.option("--no-svg", is_flag=True, help="Draw none.")
@json_option
def command(
    subject: str | None,
    soc_version: str,
    precision: Precision,
    batches: tuple[int, ...],
    layout: LayoutWord,
    image_size: tuple[int, int] | None,
    config: Path | None,
    svg: Path | None,
    no_svg: bool,
    as_json: bool,
) -> int:
    """What ATC would refuse or quietly change in a FILE, or what a MODEL costs on the chip.

    Any ONNX file will do. Nothing is compiled, and weights are not read.

    For a MODEL of neonext-ascend list: multiplications, bytes and an estimated time of each stage's NeoCell in every
    layout and lowering, of the whole network, what --layout auto and --lowering auto of the export choose, and a
    roofline as an SVG. A file of that name goes before a MODEL.
    """
    soc = find_soc(soc_version)
    given = _given()
    if config is None and (subject is None or not _is_model(subject)):
        if subject is None:
            raise UsageError("neither FILE nor MODEL; give an ONNX file, or one of neonext-ascend list")
        _refuse(given & _OF_A_MODEL, f"{subject} is a file", "a MODEL")
        return _inspect_file(Path(subject), soc, precision, as_json)
    if subject is not None and config is not None:
        raise UsageError(f"both {subject} and --config {config}; give one")
    _refuse(given & {"precision"}, f"{subject or config} is a model, counted in fp16", "a FILE")
    network = _network(subject, config, image_size)
    inspect_model(network, ModelRequest(soc, batches, layout, svg, not no_svg), as_json)
    return 0


# Parameters that mean something for a MODEL alone, and how they are spelled.
_OF_A_MODEL = {"batches", "layout", "image_size", "svg", "no_svg"}
_SPELLED = {"batches": "--batch-size", "image_size": "--image-size", "no_svg": "--no-svg"}


def _refuse(options: AbstractSet[str], what: str, owner: str) -> None:
    for name in sorted(options):
        raise UsageError(f"{what}; {_SPELLED.get(name, f'--{name}')} belongs to {owner}")


def _is_model(subject: str) -> bool:
    """Whether it names a model.

    Raises:
        UsageError: it is neither a file nor a model, and does not look like a file's name.
    """
    from neonext_ascend.models.variants import VARIANTS, find_variant

    path = Path(subject)
    if subject in VARIANTS and not path.is_file():
        return True  # a folder of that name is where its exports lie
    if path.exists() or path.suffix.lower() == ".onnx" or len(path.parts) > 1:
        return False
    if subject not in VARIANTS:
        try:
            find_variant(subject)
        except UsageError as error:
            raise UsageError(f"{subject}: no such file, and {error}") from None
    return True


def _network(subject: str | None, config: Path | None, image_size: tuple[int, int] | None) -> NetworkConfig:
    from neonext_ascend.models.config import with_image_size
    from neonext_ascend.models.variants import find_variant

    if config is None:
        assert subject is not None
        network = find_variant(subject).config
    else:
        from neonext_ascend.checkpoints.loading import read_config

        network = read_config(config)
    return network if image_size is None else with_image_size(network, image_size)


def _given() -> frozenset[str]:
    """The parameters that stand on the command line."""
    context = click.get_current_context()
    return frozenset(
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def _inspect_file(file: Path, soc: Soc, precision: Precision, as_json: bool) -> int:
    if not file.exists():
        raise FileAccessError(f"{file}: no such file; expected an ONNX file, such as neonext-ascend export writes")
    with working(f"inspecting {file}"):
        from neonext_ascend.exporters.atc_rules.rules import inspect_onnx
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
    from neonext_ascend.exporters.atc_rules.rules import alike

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
