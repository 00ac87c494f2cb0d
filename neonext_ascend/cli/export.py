"""``neonext-ascend export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from neonext_ascend.cli.form_options import LayoutChoice, LoweringChoice, check_form, form_for, form_options
from neonext_ascend.cli.om_options import ImageSizes, om_options, om_request
from neonext_ascend.cli.options import PATH, BatchSize, ModelName, json_option, network_options
from neonext_ascend.cli.terminal import note, put_json, say, shown_path, warn, working
from neonext_ascend.errors import UsageError
from neonext_ascend.spec import Dtype

if TYPE_CHECKING:
    from neonext_ascend.jobs.exporting import Deployment
    from neonext_ascend.verify.parity import Verdict


@click.command(
    "export",
    epilog="Exit status: 0 exported and verified; 1 the numbers differ, nothing left; 2 wrong usage or input; "
    "3 atc is missing or broken; 5 a file cannot be read or written; 130 interrupted.",
)
@click.argument("model", required=False, type=ModelName())
@network_options
@click.option(
    "--batch-size",
    type=BatchSize(),
    metavar="N|dynamic",
    default="1",
    show_default=True,
    help="Of the ONNX input.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["onnx", "om"]),
    help="Of the artifact; om keeps the ONNX file [default: onnx].",
)
@click.option("--dtype", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True)
@click.option("--opset", type=int, default=17, show_default=True, help="11 to 18, exactly this one is written.")
@form_options
@click.option("--image-sizes", type=ImageSizes(), help="Several, in place of --image-size: files for each.")
@om_options
@click.option("--labels", type=PATH, metavar="FILE", help="Names of the classes, one a line.")
@click.option("-o", "--output", type=PATH, default=".", metavar="DIR", help="Folder of the artifacts; created.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Check parity before the file appears.")
@json_option
def command(
    model: str | None,
    config: Path | None,
    checkpoint: Path | None,
    image_size: tuple[int, int] | None,
    num_classes: int | None,
    seed: int,
    batch_size: int | None,
    formats: tuple[str, ...],
    dtype: Dtype,
    opset: int,
    layout: LayoutChoice,
    lowering: LoweringChoice,
    labels: Path | None,
    image_sizes: tuple[tuple[int, int], ...] | None,
    output: Path,
    verify: bool,
    as_json: bool,
    **om: Any,
) -> None:
    """Export a network to a verified ONNX file with its manifest, and with --format om to an OM for a chip.

    MODEL is a name of neonext-ascend list; without one the checkpoint decides. Without a checkpoint the weights are
    NeoInit's, untrained; neonext_nano ships trained.
    """
    if model is not None and config is not None:
        raise UsageError(f"both MODEL {model} and --config {config}; give one")
    if not 11 <= opset <= 18:
        raise UsageError(f"opset {opset}: expected 11 to 18, ATC's ONNX parser ends there; take 17")
    if image_size is not None and image_sizes is not None:
        raise UsageError("both --image-size and --image-sizes; give one")
    check_form(layout, lowering)
    request = om_request("om" in formats, batch_size, dtype, _given(), om)
    with working("loading PyTorch"):
        from neonext_ascend.checkpoints.loading import load, read_config
        from neonext_ascend.data import labels_for, read_labels
        from neonext_ascend.jobs.exporting import ParityFailedError, export_verified
        from neonext_ascend.reporting.words import form_lines, network_lines
    with working("building the network"):
        description = model if config is None else read_config(config)
        loads = [
            load(description, checkpoint=checkpoint, image_size=size, num_classes=num_classes, seed=seed)
            for size in image_sizes or (image_size,)
        ]
    for text in dict.fromkeys(text for loaded in loads for text in loaded.notes):
        warn(text) if "shifts" in text else note(text)
    network = loads[0].network.config
    names = labels_for(network.name, network.num_classes)
    if labels is not None:
        names = read_labels(labels, network.num_classes)
    cann, soc, largest = None, None, batch_size
    if request is not None:
        soc, largest = request.options.soc, max(request.options.gears, default=batch_size)
    forms = [form_for(loaded.network.config, layout, lowering, soc, largest) for loaded in loads]
    if request is not None:
        from neonext_ascend.cli.export_om import check_before_export, make_om, om_json, say_dry_run
        from neonext_ascend.machine.cann import find_cann

        batch_size, cann = request.batch_size, find_cann()
        check_before_export(request, loads, forms, opset, dtype, cann)
        if request.dry_run:
            say_dry_run(request, loads, forms, dtype, output, cann, as_json)
            return
    artifacts: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    told = ("neonext-ascend", *(click.get_current_context().obj or ()))
    try:
        for loaded, form in zip(loads, forms, strict=True):
            made = export_verified(
                loaded,
                output,
                names,
                batch_size=batch_size,
                opset=opset,
                dtype=dtype,
                form=form,
                verify=verify,
                command=told,
                progress=working,
            )
            verdicts += [made.verdict] if made.verdict else []
            for line in (
                *network_lines(loaded.network.config, loaded.weights),
                *form_lines(made.manifest, made.report),
            ):
                say(line, quiet=as_json)
            _say_result(made, as_json, last=request is None)
            artifacts.append(_artifact_json(made))
            if request is not None and cann is not None:
                om_made = make_om(request, loaded, made, cann, verify=verify, command=told, quiet=as_json)
                artifacts.insert(-1, om_json(om_made))
    except ParityFailedError as error:
        if as_json:
            put_json({"artifacts": artifacts, "parity": error.verdict.to_json()})
        for line in _verdict_lines(error.verdict):
            say(line, quiet=True)
        raise
    if as_json:
        put_json({"artifacts": artifacts, "parity": verdicts[0].to_json() if verdicts else None})


def _given() -> frozenset[str]:
    """The parameters that stand on the command line."""
    context = click.get_current_context()
    return frozenset(
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


def _say_result(made: Deployment, as_json: bool, last: bool) -> None:
    from neonext_ascend.reporting.words import LABEL_WIDTH, bytes_text, labelled

    files = made.manifest.files
    lines = labelled("wrote", f"{shown_path(made.path)} ({bytes_text(files[0].nbytes)}, opset {made.manifest.opset})")
    for extra in files[1:]:
        lines += labelled("", f"{extra.name} ({bytes_text(extra.nbytes)}, external data: keep it beside)")
    lines += labelled("", made.manifest_path.name)
    lines += _verdict_lines(made.verdict) if made.verdict else labelled("parity", "not checked (--no-verify)")
    if not made.manifest.weights.trained:
        lines += labelled("note", "untrained weights: the file is right, its answers mean nothing")
    if last and not as_json:
        lines += labelled("next", "classify a picture:")
        # A command is for copying: never broken.
        lines.append(f"{' ' * LABEL_WIDTH}neonext-ascend predict {shlex.quote(shown_path(made.path))} PICTURE")
    for line in lines:
        say(line, as_json)


def _verdict_lines(verdict: Verdict) -> list[str]:
    from neonext_ascend.reporting.words import labelled, parity_lines

    lines = parity_lines(verdict.artifact)
    if verdict.twin is not None:
        lines += labelled("twin", "untrained weights hide errors; the same network with weights of order 1")
        lines += parity_lines(verdict.twin, label="")
    return lines


def _artifact_json(made: Deployment) -> dict[str, Any]:
    manifest = made.manifest
    return {
        "path": str(made.path),
        "manifest": str(made.manifest_path),
        "format": manifest.format,
        "dtype": manifest.dtype,
        "opset": manifest.opset,
        "layout": manifest.layout,
        "sha256": manifest.files[0].sha256,
        "bytes": manifest.files[0].nbytes,
        "external_data": [file.name for file in manifest.files[1:]],
        "trained": manifest.weights.trained,
        "parity": made.verdict and made.verdict.to_json(),
    }
