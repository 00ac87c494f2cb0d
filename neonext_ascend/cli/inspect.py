"""``neonext-ascend inspect``."""

from __future__ import annotations

from typing import Any

import click

from neonext_ascend.cli.export_options import PRECISIONS, Gears
from neonext_ascend.cli.options import PATH, Finite, ModelName, config_option, given, image_size_option, json_option
from neonext_ascend.cli.terminal import put_json, say, shown_path, watching
from neonext_ascend.spec import LAYOUTS


@click.command(
    "inspect",
    epilog="Exit status: 0 nothing would be refused (warnings or not), or the cost is told; 1 something would; 2 wrong "
    "usage or input; 3 a plot was asked for and matplotlib is missing; 5 a file cannot be read or written.",
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
    "batch_sizes",
    type=Gears(),
    metavar="N,N,...",
    default="1",
    show_default=True,
    help="Images at once, one or several numbers; a FILE whose batch is fixed has its own.",
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
@click.option("--plot", type=PATH, metavar="FILE.svg", help="Draw the roofline.")
@click.option("--operators", is_flag=True, help="Of a FILE: list every operator of the estimate, and why it is one.")
@click.option(
    "--memory",
    type=Finite(min=0),
    metavar="GB",
    help="Of a FILE: the card's memory, as npu-smi info shows it; does it fit, and at which largest batch.",
)
@click.option(
    "--measured",
    type=PATH,
    metavar="SUMMARY.csv",
    help="Of a FILE: times of its operators on the card, op_summary_*.csv of msprof, beside the estimate.",
)
@json_option
def command(subject: str | None, as_json: bool, operators: bool, **options: Any) -> int:
    """What ATC would refuse or quietly change in a FILE and how fast it may be, or what a MODEL costs on the chip.

    Any ONNX file will do. Nothing is compiled, and of weights only zeros are counted. Images a second are an estimate,
    fitted on published figures of other networks; the interval says how far off it may be.

    For a MODEL of neonext-ascend list, which needs PyTorch: multiplications, bytes and an estimated time of each
    stage's NeoCell in every layout and lowering, of the whole network, and what --layout auto and --lowering auto of
    the export choose. A file of that name goes before a MODEL.
    """
    from neonext_ascend import jobs

    for name in {"precision", "batch_sizes", "layout"} - given():
        options[name] = None  # so that the job sees what was asked for
    result = jobs.inspect(subject, **options, watch=watching())
    if as_json:
        put_json(result.to_json())
    else:
        for line in _lines(result, operators):
            say(line)
    return 0 if isinstance(result, jobs.InspectedModel) or result.inspection.accepted else 1


def _lines(result: Any, operators: bool) -> list[str]:
    from neonext_ascend import jobs

    if isinstance(result, jobs.InspectedFile):
        from neonext_ascend.reporting.findings import inspection_lines
        from neonext_ascend.reporting.measured import comparison_lines
        from neonext_ascend.reporting.operators import operator_lines
        from neonext_ascend.reporting.speed import cost_lines

        lines = [*inspection_lines(result.inspection, result.path, result.soc.name, result.precision), ""]
        lines += [*operator_lines(result.cost), ""] if operators else []
        lines += [*comparison_lines(result.measured), ""] if result.measured is not None else []
        lines += cost_lines(result.cost)
    else:
        from neonext_ascend.errors import UsageError
        from neonext_ascend.reporting.cost import model_lines

        if operators:
            raise UsageError(f"{result.config.name} is a model; --operators belongs to a FILE")
        lines = model_lines(result.config, result.soc.name, result.layout, result.stages, result.networks, result.notes)
    return lines if result.plot is None else [*lines, "", f"plot     {shown_path(result.plot.absolute())}"]
