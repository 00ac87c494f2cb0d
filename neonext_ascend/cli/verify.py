"""``neonext-ascend verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from neonext_ascend.cli.options import PATH, json_option, network_options, runtime_options
from neonext_ascend.cli.terminal import put_json, say, warn, working
from neonext_ascend.errors import ParityError, UsageError
from neonext_ascend.machine.environment import versions
from neonext_ascend.spec import Dtype

if TYPE_CHECKING:
    from neonext_ascend.jobs.verifying import Recheck
    from neonext_ascend.runtimes.registry import Runtime


@click.command(
    "verify",
    epilog="Exit status: 0 the numbers agree; 1 they differ; 2 wrong usage or input; 3 a tool or device is missing; "
    "5 a file cannot be read.",
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
@click.option("--against", type=PATH, metavar="FILE.onnx", help="Compare an ARTIFACT with this file instead.")
@runtime_options
@click.option(
    "--dtype", type=click.Choice(["fp32", "fp16"]), default="fp16", show_default=True, help="Of a MODEL on the NPU."
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
    against: Path | None,
    runtime: Runtime,
    device: int,
    dtype: Dtype,
    atol: float | None,
    rtol: float | None,
    as_json: bool,
) -> None:
    """Check an artifact or a model against its reference.

    An ARTIFACT, an ONNX or OM file, is compared with the network it was made from (--checkpoint where it had one),
    else with the values that its manifest stores, or with the file of --against; which of them is said. Of a MODEL the
    folded network is compared with the unfolded one.
    """
    from neonext_ascend.jobs.verifying import Options, recheck_artifact
    from neonext_ascend.runtimes.registry import is_artifact

    options = Options(reference, atol, rtol, runtime, device)
    if artifact is not None and is_artifact(artifact):
        if config or image_size or num_classes or _given("seed", "dtype"):
            raise UsageError(
                "--config, --image-size, --num-classes, --seed and --dtype are a model's; the artifact's manifest "
                "tells them"
            )
        if against is not None and checkpoint is not None:
            raise UsageError(f"both --against {against} and --checkpoint {checkpoint}; give one")
        with working(f"checking {artifact}"):
            result = recheck_artifact(Path(artifact), against=against, checkpoint=checkpoint, options=options)
    else:
        _check_model_usage(artifact, config, against, runtime)
        with working(f"checking {artifact or config or checkpoint}"):
            from neonext_ascend.checkpoints.loading import load, read_config
            from neonext_ascend.jobs.verifying_model import check_model

            loaded = load(
                artifact if config is None else read_config(config),
                checkpoint=checkpoint,
                image_size=image_size,
                num_classes=num_classes,
                seed=seed,
            )
            result = check_model(loaded, options, dtype)
    _say(result, artifact or str(config or checkpoint), as_json)


def _given(*names: str) -> bool:
    context = click.get_current_context()
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)


def _check_model_usage(model: str | None, config: Path | None, against: Path | None, runtime: Runtime) -> None:
    if model is not None and config is not None:
        raise UsageError(f"both MODEL {model} and --config {config}; give one")
    if against is not None:
        raise UsageError(f"--against {against} compares an artifact; a model is compared with its unfolded network")
    if runtime not in ("auto", "npu"):
        raise UsageError(f"--runtime {runtime} opens files; a model runs in PyTorch, or with --runtime npu on an NPU")
    if _given("dtype") and runtime != "npu":
        raise UsageError("--dtype is of a model on the NPU; give --runtime npu with it")


def _say(result: Recheck, what: str, as_json: bool) -> None:
    from neonext_ascend.reporting.words import labelled, parity_lines

    for text in result.warnings:
        warn(text)
    verdict = result.verdict
    lines = [*labelled("checked", what), *labelled("on", result.where), *labelled("against", result.against)]
    lines += parity_lines(verdict.artifact)
    if verdict.twin is not None:
        lines += parity_lines(verdict.twin, label="twin")
    for line in lines:
        say(line, quiet=as_json or not verdict.passed)
    if as_json:
        put_json(_json(result, what))
    if not verdict.passed:
        raise ParityError(f"{what}: parity failed")


def _json(result: Recheck, what: str) -> dict[str, Any]:
    """The report: what ran where, against what, and every figure."""
    return {
        "checked": what,
        "runtime": result.where,
        "against": result.against,
        "parity": result.verdict.to_json(),
        "warnings": list(result.warnings),
        "environment": versions(),
    }
