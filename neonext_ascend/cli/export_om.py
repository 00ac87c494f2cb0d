"""The OM half of ``neonext-ascend export``: dry run, bundle or compilation, and what is said of them."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.cli.om_options import OmRequest
from neonext_ascend.cli.terminal import following, put_json, say, shown_path, warn, working
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.atc_rules.rules import alike
from neonext_ascend.exporters.om_file.command import AtcCommand, atc_command
from neonext_ascend.exporters.om_file.manifest import om_name
from neonext_ascend.exporters.onnx_file.export import export_onnx
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.bundling import Bundle, write_bundle
from neonext_ascend.jobs.exporting import Deployment, artifact_name
from neonext_ascend.jobs.exporting_om import OmDeployment, check_nodes, export_om, require_atc
from neonext_ascend.machine.cann import Cann
from neonext_ascend.passes.form import GraphForm
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.reporting.words import LABEL_WIDTH, bytes_text, labelled, parity_lines
from neonext_ascend.spec import INPUT, NUMPY_DTYPES, Dtype, TensorSpec


def check_before_export(
    request: OmRequest,
    loads: Sequence[LoadedNetwork],
    forms: Sequence[GraphForm],
    opset: int,
    dtype: Dtype,
    cann: Cann,
) -> None:
    """What must be known before long work: the kept nodes exist, and there is an ATC where one is needed.

    Raises:
        UsageError: a node is unknown, or one archive is to hold several image sizes.
        ToolchainError: ATC is missing.
    """
    if request.bundle is not None and len(loads) > 1:
        raise UsageError(f"--bundle {request.bundle}: holds one image size, {len(loads)} were asked for; give one")
    if request.options.keep_fp32:
        with tempfile.TemporaryDirectory() as folder, working("looking at the nodes"):
            for loaded, form in zip(loads, forms, strict=True):
                path = Path(folder) / artifact_name(loaded.network.config, request.batch_size, dtype)
                network = prepare(loaded.network, defer=True, layout=form.layout, lowering=form.lowering)[0]
                export_onnx(network, path, batch_size=request.batch_size, opset=opset, dtype=dtype)
                check_nodes(path, request.options.keep_fp32)
    if request.bundle is None and not request.dry_run:
        require_atc(cann)


def say_dry_run(
    request: OmRequest,
    loads: Sequence[LoadedNetwork],
    forms: Sequence[GraphForm],
    dtype: Dtype,
    folder: Path,
    cann: Cann,
    as_json: bool,
) -> None:
    """Print the command for each image size, and the layout of its ONNX file; nothing is written."""
    commands = [_command(request, loaded, dtype, folder, cann) for loaded in loads]
    if as_json:
        pairs = zip(commands, forms, strict=True)
        put_json({"commands": [_command_json(command, form) for command, form in pairs]})
        return
    say("# the ONNX file: this command with --bundle FILE.tar.gz in place of --dry-run leaves it there")
    for command, form in zip(commands, forms, strict=True):
        say(f"# layout {form.layout}{f': {form.reason}' if form.reason else ''}")
        for name, text in command.files.items():
            say(f"# {folder.absolute() / name}:")
            for line in text.splitlines():
                say(f"#   {line}")
        for variable, value in command.environ.items():
            say(f"export {variable}={shlex.quote(value)}")
        say(shlex.join(command.argv))


def _command(request: OmRequest, loaded: LoadedNetwork, dtype: Dtype, folder: Path, cann: Cann) -> AtcCommand:
    config = loaded.network.config
    name = artifact_name(config, request.batch_size, dtype)
    rows: int | str = "batch" if request.batch_size is None else request.batch_size
    onnx = folder.absolute() / name
    return atc_command(
        onnx,
        onnx.with_name(om_name(name, request.options).removesuffix(".om")),
        TensorSpec(INPUT, NUMPY_DTYPES[dtype], (rows, 3, *config.image_size)),
        request.options,
        work=folder.absolute(),
        atc="atc" if cann.atc is None else str(cann.atc),
        toolkit=cann.toolkit if cann.driver is None else None,
        preprocessing=preprocessing_for(config.name, config.image_size),
    )


def _command_json(command: AtcCommand, form: GraphForm) -> dict[str, Any]:
    return {
        "argv": list(command.argv),
        "environment": dict(command.environ),
        "files": dict(command.files),
        "layout": form.layout,
        "layout_reason": form.reason,
    }


def make_om(
    request: OmRequest,
    loaded: LoadedNetwork,
    made: Deployment,
    cann: Cann,
    *,
    verify: bool,
    command: Sequence[str],
    quiet: bool,
) -> OmDeployment | Bundle:
    """Compile or pack, and say what was made."""
    if request.bundle is not None:
        with working(f"packing {request.bundle.name}"):
            bundle = write_bundle(request.bundle, loaded, made, request.options, command)
        for line in _bundle_lines(bundle):
            say(line, quiet)
        return bundle
    with following(f"making an OM of {made.path.name}") as on_line:
        om = export_om(
            loaded,
            made,
            request.options,
            cann,
            verify=verify,
            time_limit_s=request.time_limit_s,
            command=command,
            on_line=on_line,
        )
    for first, *more in alike(om.findings):
        places = f" ({1 + len(more)} nodes)" if more else ""
        warn(f"{first.rule}: {first.message}{places}")
    for line in _om_lines(om):
        say(line, quiet)
    return om


def om_json(made: OmDeployment | Bundle) -> dict[str, Any]:
    """The artifact's entry in ``--json``."""
    if isinstance(made, Bundle):
        return {"path": str(made.path.absolute()), "format": "bundle", "sha256": made.sha256, "bytes": made.nbytes}
    manifest, compiled = made.manifest, made.manifest.compilation
    assert compiled is not None
    return {
        "path": str(made.path.absolute()),
        "manifest": str(made.manifest_path.absolute()),
        "format": "om",
        "dtype": manifest.dtype,
        "opset": manifest.opset,
        "layout": manifest.layout,
        "sha256": manifest.files[0].sha256,
        "bytes": manifest.files[0].nbytes,
        "trained": manifest.weights.trained,
        "compilation": compiled.to_json(),
        "findings": [finding.to_json() for finding in made.findings],
        "parity": None if made.verdict is None else made.verdict.to_json(),
    }


def _om_lines(made: OmDeployment) -> list[str]:
    compiled = made.manifest.compilation
    assert compiled is not None
    path = shown_path(made.path)
    what = f"{bytes_text(made.manifest.files[0].nbytes)}, {compiled.soc_version}, precision {compiled.precision}"
    lines = [*labelled("wrote", f"{path} ({what})"), *labelled("", made.manifest_path.name)]
    if made.verdict is not None:
        return [*lines, *parity_lines(made.verdict.artifact, label="on npu")]
    lines += labelled("parity", f"of the OM: not checked ({made.unchecked}); on a {compiled.soc_version}:")
    return [*lines, f"{' ' * LABEL_WIDTH}neonext-ascend verify {shlex.quote(path)}"]


def _bundle_lines(bundle: Bundle) -> list[str]:
    lines = labelled("packed", f"{bundle.path} ({bytes_text(bundle.nbytes)})")
    lines += labelled("next", "on the machine with CANN, after sourcing its set_env.sh:")
    archive = shlex.quote(bundle.path.name)
    return [*lines, f"{' ' * LABEL_WIDTH}tar xzf {archive} && python3 {shlex.quote(bundle.top)}/run.py"]
