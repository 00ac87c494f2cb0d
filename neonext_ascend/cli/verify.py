"""``neonext-ascend verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neonext_ascend.cli.options import PATH, Finite, given, json_option, network_options, runtime_options
from neonext_ascend.cli.terminal import put_json, say, warn, watching
from neonext_ascend.errors import ParityError, UsageError


@click.command(
    "verify",
    epilog="Exit status: 0 the numbers agree; 1 they differ; 2 wrong usage or input; 3 a tool or device is missing; "
    "5 a file cannot be read.",
)
@click.argument("subject", metavar="ARTIFACT|MODEL", required=False)
@network_options
@click.option(
    "--reference",
    type=click.Choice(["fp32", "fp64"]),
    default="fp32",
    show_default=True,
    help="Precision in which the reference network computes.",
)
@click.option("--against", type=PATH, metavar="FILE.onnx", help="Compare an ARTIFACT with this file instead.")
@runtime_options
@click.option(
    "--dtype", type=click.Choice(["fp32", "fp16"]), default="fp16", show_default=True, help="Of a MODEL on the NPU."
)
@click.option("--atol", type=Finite(0), help="Absolute tolerance of each element.")
@click.option("--rtol", type=Finite(0), help="Relative tolerance of each element.")
@click.option(
    "--accumulation",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of the partial sums inside a product, where an fp16 file is computed as on a chip; its cube unit has fp32.",
)
@click.option("--ladder", is_flag=True, help="Every form from PyTorch to the chip, and where the numbers go wrong.")
@json_option
def command(
    subject: str | None, config: Path | None, checkpoint: Path | None, ladder: bool, as_json: bool, **options: Any
) -> None:
    """Check an artifact or a model against its reference.

    An ARTIFACT, an ONNX or OM file, is compared with the network it was made from (--checkpoint where it had one),
    else with the values that its manifest stores, or with the file of --against; which of them is said. Of a MODEL the
    folded network is compared with the unfolded one. With --ladder every form on the way is held against the one before
    and the first: the form, the node and the likely cause are named.
    """
    from neonext_ascend import jobs

    for name in {"seed", "dtype"} - given():
        options[name] = None  # so that the job sees what was asked for
    if ladder:
        _climb(subject, as_json, config=config, checkpoint=checkpoint, **options)
        return
    result = jobs.verify(subject, config=config, checkpoint=checkpoint, **options, watch=watching())
    from neonext_ascend.reporting.words import half_lines, labelled, parity_lines

    for text in result.warnings:
        warn(text)
    verdict = result.verdict
    lines = [*labelled("checked", result.checked), *labelled("on", result.where), *labelled("against", result.against)]
    lines += parity_lines(verdict.artifact)
    if verdict.twin is not None:
        lines += parity_lines(verdict.twin, label="twin")
    lines += half_lines(verdict.half)
    for line in lines:
        say(line, quiet=as_json or not verdict.passed)
    if as_json:
        put_json(result.to_json())
    if not verdict.passed:
        raise ParityError(f"{result.checked}: {verdict.failure}")


_OF_A_LADDER = ("config", "checkpoint", "image_size", "num_classes", "seed", "runtime", "device")


def _climb(subject: str | None, as_json: bool, **options: Any) -> None:
    from neonext_ascend import jobs

    if others := sorted(given("reference", "against", "dtype", "atol", "rtol", "accumulation")):
        raise UsageError(f"both --ladder and --{others[0]}; a ladder has its own forms and bounds")
    kept = {name: options[name] for name in _OF_A_LADDER}
    found = jobs.ladder(subject, **kept, watch=watching())
    from neonext_ascend.reporting.ladder import ladder_lines

    for text in found.notes:
        warn(text)
    for line in ladder_lines(found):
        say(line, quiet=as_json or not found.passed)
    if as_json:
        put_json(found.to_json())
    if found.verdict is not None:
        at = f" at {found.verdict.node}" if found.verdict.node else ""
        raise ParityError(f"{found.checked}: {found.verdict.rung} fails{at}: {found.verdict.cause}")
