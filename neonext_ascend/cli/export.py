"""``neonext-ascend export``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neonext_ascend.artifacts.names import readable
from neonext_ascend.cli.export_options import INT8_NAMES, NAMES, OF_TRITON, form_options, int8_options, om_options
from neonext_ascend.cli.options import PATH, Finite, ModelName, given, json_option, network_options
from neonext_ascend.cli.terminal import put_json, say, shown_path, warn, watching, working
from neonext_ascend.errors import UsageError

if TYPE_CHECKING:
    from neonext_ascend.jobs.exporting import Made


@click.command(
    "export",
    epilog="Exit status: 0 exported and verified; 1 the numbers differ, nothing left; 2 wrong usage or input; "
    "3 atc is missing or broken; 5 a file cannot be read or written; 130 interrupted.",
)
@click.argument("model", metavar="[MODEL|FILE.onnx]", required=False, type=ModelName())
@network_options
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["onnx", "deploy", "om"]),
    help="Of the artifact; om keeps the ONNX file, deploy is the vendor's form of int8 [default: onnx].",
)
@form_options
@int8_options
@om_options
@click.option("--triton", type=PATH, metavar="DIR", help="Put a model for Triton with the vendor's backend there.")
@click.option("--labels", type=PATH, metavar="FILE", help="Names of the classes, one a line.")
@click.option("--rescue", is_flag=True, help="Where half precision fails, keep the few nodes in fp32 that must be.")
@click.option("--gate", type=PATH, metavar="DATASET", help="Labelled pictures on which the file may lose little.")
@click.option("--max-drop", type=Finite(0, 100), metavar="POINTS", help="Of top-1, that it may lose [default: 0.2].")
@click.option("-o", "--output", type=PATH, default=".", metavar="DIR", help="Folder of the artifacts; created.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Check parity before the file appears.")
@json_option
def command(model: str | None, formats: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Export a network to a verified ONNX file with its manifest, and with --format om to an OM for a chip.

    MODEL is a name of neonext-ascend list; without one the checkpoint decides. Without a checkpoint the weights are
    NeoInit's, untrained; neonext_nano ships trained. Of a FILE.onnx, anybody's in float32, --dtype int8 makes int8.
    """
    om = {name: options.pop(name) for name in NAMES}
    if model is not None and model.endswith(".onnx"):
        return _quantise(model, formats, as_json, om["soc_version"], **options)
    layout = options.pop("features_layout")
    if given("features_layout") and not options["features"]:
        raise UsageError(f"--features-layout {layout}: is of maps; give --features with it")
    options["features"] = layout if options["features"] else None
    int8 = _int8({name: options.pop(name) for name in INT8_NAMES}, formats, om["soc_version"])
    if "om" not in formats:
        options["keep_fp32"] = _nodes(om.pop("keep_fp32"))
    allowed = OF_TRITON if options["triton"] else ("soc_version",) if "deploy" in formats else ()
    stray = [name for name in om if given(name) and "om" not in formats and name not in allowed]
    if stray:
        if stray[0] == "soc_version":
            raise UsageError(
                "--soc-version is of an OM or the deploy form; give --format om or --format deploy with it"
            )
        raise UsageError(f"--{stray[0].replace('_', '-')} is of an OM; give --format om with it")
    with working("loading PyTorch"):
        from neonext_ascend import jobs
        from neonext_ascend.jobs.making.onnx_file import OnnxExport, ParityFailedError
        from neonext_ascend.reporting.exports import verdict_lines
    if options["triton"]:
        precision = om["precision"] if given("precision") else None
        options["triton"] = jobs.TritonRequest(options["triton"], om["batch_gears"] or (), precision, om["soc_version"])
    made: list[Made] = []

    def show(artifact: Made) -> None:
        made.insert(len(made) if isinstance(artifact, OnnxExport) else -1, artifact)  # an OM before its ONNX file
        _say(artifact, as_json, last="om" not in formats and options["triton"] is None)

    try:
        exported = jobs.export(
            model,
            **options,
            om=_request(om) if "om" in formats else None,
            int8=None if int8 is None else jobs.Int8Request(**int8),
            command=("neonext-ascend", *map(readable, click.get_current_context().obj or ())),
            watch=watching(show),
        )
    except ParityFailedError as error:
        if as_json:
            put_json({"artifacts": [artifact.to_json() for artifact in made], "parity": error.verdict.to_json()})
        for line in verdict_lines(error.verdict):
            say(line, quiet=True)
        raise
    if as_json:
        put_json(exported.to_json())
    elif exported.commands:
        say("# the ONNX file: this command with --bundle FILE.tar.gz in place of --dry-run leaves it there")
        for dry_run in exported.commands:
            for line in dry_run.lines():
                say(line)


def _quantise(model: str, formats: tuple[str, ...], as_json: bool, soc_version: str | None, **options: Any) -> None:
    """Int8 of an ONNX file."""
    if options["dtype"] != "int8" or options["calibration"] is None:
        raise UsageError(f"{model}: of a file export makes int8 alone; give --dtype int8 --calibration FOLDER with it")
    taken = {"model", "dtype", *INT8_NAMES, "formats", "soc_version", "output", "as_json"}
    if stray := sorted(given() - taken):
        raise UsageError(f"--{stray[0].replace('_', '-')}: is of a model; a file has its own form")
    if "om" in formats:
        raise UsageError(f"--format om: is of a model; make the deploy form of {model} and give it to atc")
    if soc_version is not None and "deploy" not in formats:
        raise UsageError("--soc-version: is of a file's deploy form; give --format deploy with it")
    int8 = _int8({name: options[name] for name in INT8_NAMES}, formats, soc_version)
    with working("loading ONNX"):
        from neonext_ascend import jobs
        from neonext_ascend.reporting.exports import quantised_lines
    made = jobs.quantise(model, jobs.Int8Request(**(int8 or {})), output=options["output"], watch=watching())
    if as_json:
        put_json(made.to_json())
    for line in quantised_lines([shown_path(path) for path in made.paths], made.told):
        say(line, quiet=as_json)


def _nodes(names: str | None) -> list[str]:
    return [node for node in (names or "").split(",") if node]


def _int8(options: dict[str, Any], formats: tuple[str, ...], soc_version: str | None) -> dict[str, Any] | None:
    """The fields of a request; ``None`` where no option of int8 was given."""
    if options["calibration"] is None:
        stray = [f"--{name.replace('_', '-')}" for name in options if given(name)]
        stray += ["--format deploy"] if "deploy" in formats else []
        if stray:
            raise UsageError(f"{stray[0]} is of int8; give --dtype int8 --calibration FOLDER with it")
        return None
    if "deploy" in formats and soc_version is None:
        raise UsageError("--format deploy needs --soc-version: Ascend and the name from npu-smi info, as Ascend310P3")
    options["anyway"] = options.pop("calibration_anyway")
    return {**options, "deploy": soc_version if "deploy" in formats else None}


def _request(om: dict[str, Any]) -> Any:
    from neonext_ascend.jobs import OmRequest

    return OmRequest(
        om["soc_version"],
        om["precision"],
        om["batch_gears"] or (),
        om["aipp"],
        _nodes(om["keep_fp32"]),
        om["atc_arg"],
        om["dry_run"],
        om["bundle"],
        om["time_limit"],
    )


def _say(made: Made, quiet: bool, last: bool) -> None:
    from neonext_ascend.jobs.bundle.packing import Bundle
    from neonext_ascend.jobs.making.onnx_file import OnnxExport
    from neonext_ascend.jobs.making.triton_model import TritonModel
    from neonext_ascend.reporting import exports as words

    if isinstance(made, Bundle):
        lines = words.bundle_lines(made.path, made.nbytes, made.top, made.gated)
    elif isinstance(made, TritonModel):
        lines = words.triton_lines(
            shown_path(made.path), shown_path(made.path.parent), made.gears, made.precision, made.replaced
        )
    elif isinstance(made, OnnxExport):
        lines = words.onnx_lines(shown_path(made.path), made.manifest, made.report, made.verdict, made.gated)
        lines += (
            words.next_lines(shown_path(made.path), made.manifest.features is not None) if last and not quiet else []
        )
    else:
        for text in words.warning_lines(made.findings):
            warn(text)
        lines = words.om_lines(shown_path(made.path), made.manifest, made.verdict, made.unchecked, made.gated)
    for line in lines:
        say(line, quiet)
