"""``neonext-ascend verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from neonext_ascend.cli.options import json_option, network_options
from neonext_ascend.cli.terminal import put_json, say, warn, working
from neonext_ascend.errors import ParityError, UsageError

if TYPE_CHECKING:
    from neonext_ascend.recheck import Recheck


@click.command(
    "verify",
    epilog="Exit status: 0 the numbers agree; 1 they differ; 2 wrong usage or input; 5 a file cannot be read.",
)
@click.argument("artifact", metavar="ARTIFACT|MODEL", required=False)
@network_options
@click.option(
    "--reference",
    type=click.Choice(["fp32", "fp64"]),
    default="fp32",
    show_default=True,
    help="Precision in which the reference network computes.",
)
@click.option("--atol", type=click.FloatRange(0), help="Absolute tolerance of each element.")
@click.option("--rtol", type=click.FloatRange(0), help="Relative tolerance of each element.")
@json_option
def command(
    artifact: str | None,
    config: Path | None,
    checkpoint: Path | None,
    image_size: tuple[int, int] | None,
    num_classes: int | None,
    seed: int,
    reference: Literal["fp32", "fp64"],
    atol: float | None,
    rtol: float | None,
    as_json: bool,
) -> None:
    """Check an artifact or a model against its reference.

    An ARTIFACT is compared with the network it was made from (--checkpoint where it had one), else with the values
    that its manifest stores; which of them is said. Of a MODEL the folded network is compared with the unfolded one.
    """
    if artifact is not None and _is_file_name(artifact):
        seed_given = click.get_current_context().get_parameter_source("seed") is ParameterSource.COMMANDLINE
        if config or image_size or num_classes or seed_given:
            raise UsageError(
                "--config, --image-size, --num-classes and --seed choose a model; the artifact's manifest tells them"
            )
        with working(f"checking {artifact}"):
            from neonext_ascend.recheck import recheck_artifact

            result = recheck_artifact(
                Path(artifact), checkpoint=checkpoint, reference_dtype=reference, atol=atol, rtol=rtol
            )
    else:
        if artifact is not None and config is not None:
            raise UsageError(f"both MODEL {artifact} and --config {config}; give one")
        with working(f"checking {artifact or config or checkpoint}"):
            from neonext_ascend.models.loading import load, read_config
            from neonext_ascend.recheck import check_model

            loaded = load(
                artifact if config is None else read_config(config),
                checkpoint=checkpoint,
                image_size=image_size,
                num_classes=num_classes,
                seed=seed,
            )
            result = check_model(loaded, reference, atol, rtol)
    _say(result, artifact or str(config or checkpoint), as_json)


def _say(result: Recheck, what: str, as_json: bool) -> None:
    from neonext_ascend.report import labelled, parity_lines

    for text in result.warnings:
        warn(text)
    verdict = result.verdict
    lines = [*labelled("checked", what), *labelled("against", result.against), *parity_lines(verdict.artifact)]
    if verdict.twin is not None:
        lines += parity_lines(verdict.twin, label="twin")
    for line in lines:
        say(line, quiet=as_json or not verdict.passed)
    if as_json:
        put_json({"parity": verdict.to_json(), "against": result.against, "warnings": list(result.warnings)})
    if not verdict.passed:
        raise ParityError(f"{what}: parity failed")


def _is_file_name(text: str) -> bool:
    return text.endswith(".onnx") or "/" in text or Path(text).is_file()
