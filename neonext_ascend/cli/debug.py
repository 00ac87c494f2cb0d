"""``neonext-ascend debug``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neonext_ascend.cli.options import PATH, checkpoint_option, json_option
from neonext_ascend.cli.terminal import put_json, say, watching
from neonext_ascend.errors import UsageError


@click.command(
    "debug",
    epilog="Exit status: 0 no node makes an error, or the outputs agree all the same; 1 one does, or a chip cannot "
    "keep in fp32 what it must; 2 wrong usage or input; 5 a file cannot be read or written.",
)
@click.argument("artifact", type=PATH, metavar="ARTIFACT.onnx")
@click.option(
    "--against", type=PATH, metavar="FILE.onnx|DUMP", help="Another ONNX file, or a folder of NAME.npy files."
)
@checkpoint_option
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the noise that is fed."
)
@click.option("--rescue", is_flag=True, help="Find the nodes that must compute in fp32 where half precision fails.")
@click.option("--soc-version", metavar="NAME", help="The chip of a rescue: Ascend and the name from npu-smi info.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder for what was fed and the smallest graph that shows the fault; or for keep_dtype.cfg.",
)
@click.option("--plot", type=PATH, metavar="FILE.svg", help="Draw the errors by depth.")
@json_option
def command(
    artifact: Path,
    against: Path | None,
    checkpoint: Path | None,
    seed: int,
    rescue: bool,
    soc_version: str | None,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Where two graphs depart, node by node: which node makes the error, which were only handed it.

    ARTIFACT, any ONNX file, is compared with --against, or with its own network, written once more from its manifest.
    Nodes are matched by what they compute and by their neighbours, names and places where that does not tell; the
    likely cause is named. Where the outputs agree, what differs inside is a note. A DUMP is a folder of NAME.npy, what
    was fed among them as image.npy; without that seeded noise is fed, which -o writes. With -o the smallest graph that
    still shows the fault is written too, with its inputs and expected values and a script that runs it: a report for
    whoever makes the compiler.

    With --rescue nothing is compared: the smallest set of nodes is looked for that, kept in fp32, lets half precision
    hold ARTIFACT; -o takes ATC's keep-dtype file.
    """
    from neonext_ascend import jobs

    if rescue:
        if against is not None or checkpoint is not None or plot is not None:
            raise UsageError("--rescue compares ARTIFACT with itself in fp32; leave out what another is compared by")
        return _rescue(artifact, as_json, soc_version=soc_version, output=output, seed=seed)
    if soc_version is not None:
        raise UsageError(f"--soc-version {soc_version}: is of --rescue; give that with it")
    found = jobs.debug(
        artifact, against=against, checkpoint=checkpoint, seed=seed, output=output, plot=plot, watch=watching()
    )
    if as_json:
        put_json(found.to_json())
    else:
        from neonext_ascend.reporting.nodes import debugging_lines

        for line in debugging_lines(found):
            say(line)
        for file in found.fed:
            say(f"fed      {file}: what both sides take as input")
        if found.subgraph is not None:
            say(f"wrote    {found.subgraph}: with its inputs, expected values and run.py")
    return 1 if found.differ else 0


def _rescue(artifact: Path, as_json: bool, **options: Any) -> int:
    """The nodes to keep, or why the chip cannot keep them."""
    from neonext_ascend import jobs
    from neonext_ascend.reporting.nodes import rescue_lines

    result = jobs.rescue_nodes(artifact, **options, watch=watching())
    if as_json:
        put_json(result.to_json())
    else:
        for line in rescue_lines(result.artifact, result.found, result.refusal, result.remedy):
            say(line)
        if result.keep_file is not None:
            say(f"wrote    {result.keep_file}: for atc --keep_dtype")
    return 1 if result.refusal else 0
