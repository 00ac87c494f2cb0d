"""``neonext-ascend debug``."""

from __future__ import annotations

from pathlib import Path

import click

from neonext_ascend.cli.options import PATH, checkpoint_option, json_option
from neonext_ascend.cli.terminal import put_json, say, watching


@click.command(
    "debug",
    epilog="Exit status: 0 no node makes an error; 1 one does; 2 wrong usage or input; 5 a file cannot be read or "
    "written.",
)
@click.argument("artifact", type=PATH, metavar="ARTIFACT.onnx")
@click.option(
    "--against", type=PATH, metavar="FILE.onnx|DUMP", help="Another ONNX file, or a folder of NAME.npy files."
)
@checkpoint_option
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the noise that is fed."
)
@click.option("-o", "--output", type=PATH, metavar="DIR", help="Folder for the smallest graph that shows the fault.")
@json_option
def command(
    artifact: Path, against: Path | None, checkpoint: Path | None, seed: int, output: Path | None, as_json: bool
) -> int:
    """Where two graphs depart, node by node: which node makes the error, which were only handed it.

    ARTIFACT, any ONNX file, is compared with --against, or with its own network, written once more from its manifest.
    Nodes are matched by name, then by position and shape; the likely cause is named. With -o the smallest graph that
    still shows the fault is written, with its inputs and expected values and a script that runs it: a report for
    whoever makes the compiler.
    """
    from neonext_ascend import jobs

    found = jobs.debug(artifact, against=against, checkpoint=checkpoint, seed=seed, output=output, watch=watching())
    if as_json:
        put_json(found.to_json())
    else:
        from neonext_ascend.reporting.nodes import debugging_lines

        told = found.nodes, found.unmatched, found.by_position, found.cause
        for line in debugging_lines(found.artifact, found.against, *told):
            say(line)
        if found.subgraph is not None:
            say(f"wrote    {found.subgraph}: with its inputs, expected values and run.py")
    return 0 if found.first_made is None else 1
