"""``neonext-ascend report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neonext_ascend.cli.options import PATH, checkpoint_option, json_option, runtime_options
from neonext_ascend.cli.terminal import put_json, say, shown_path, watching


@click.command(
    "report",
    epilog="Exit status: 0 the page is written, whatever it says; 2 wrong usage or input; 3 jinja2 or matplotlib is "
    "missing, or what --runtime asks for; 5 a file cannot be read or written.",
)
@click.argument("artifact", type=PATH)
@checkpoint_option
@click.option("--against", type=PATH, metavar="FILE.onnx|DUMP", help="Compare with this, as debug does and eval.")
@click.option("--data", type=PATH, metavar="DATASET", help="Labelled pictures, as eval takes them.")
@click.option("--labels", type=PATH, metavar="FILE", help="Label file of a folder of pictures.")
@click.option("--benchmark", is_flag=True, help="Also time the artifact here, for a few seconds.")
@runtime_options
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Folder for the two files [default: the artifact's].")
@json_option
def command(artifact: Path, as_json: bool, **options: Any) -> None:
    """Write NAME.report.html, one page about an artifact, and NAME.report.json, all that it says.

    Of an ONNX file without a manifest the parts that need one are left out, with the reason.

    The page tells what the artifact is and how it was made, its parity ladder, the error and the range in half
    precision of every node, the pictures whose answer flips, accuracy (--data), speed (--benchmark), what it would cost
    on each chip by estimate, and the command that repeats each part. It asks nothing of any other host.
    """
    from neonext_ascend import jobs

    made = jobs.report(artifact, **options, watch=watching())
    if as_json:
        put_json(made.to_json())
        return
    from neonext_ascend.reporting.words import labelled

    lines = labelled("verdict", made.verdict)
    for part, reason in made.missing.items():
        lines += labelled("left out", f"{part}: {reason}")
    for path in (made.page, made.data):
        lines += labelled("wrote", shown_path(path))
    for line in lines:
        say(line)
