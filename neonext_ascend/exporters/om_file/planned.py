"""A planned OM made: the file under its final name, with its manifest beside it; for export and bundle alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.exporters.om_file.compile import CompiledOm, compile_om
from neonext_ascend.exporters.om_file.manifest import compiled_manifest
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.machine.cann import Cann


def compile_planned(
    onnx: Path,
    source: Manifest,
    planned: Manifest,
    folder: Path,
    options: AtcOptions,
    cann: Cann,
    *,
    time_limit_s: float,
    log_folder: Path,
    on_line: Callable[[str], None] = lambda _: None,
) -> tuple[CompiledOm, Manifest]:
    """Compile, and write the manifest.

    Args:
        onnx: the file.
        source: its manifest.
        planned: the OM's, before ATC has run.
        folder: takes the OM, under the name that ``planned`` gives it, and its manifest.
        options, cann, time_limit_s, log_folder, on_line: as of :func:`~.compile.compile_om`.

    Raises:
        UsageError, ArtifactError, ToolchainError, FileAccessError: as there.
    """
    name = planned.artifact.files[0].name
    compiled = compile_om(
        onnx,
        folder,
        name.removesuffix(".om"),
        source.inputs[0],
        options,
        cann,
        preprocessing=source.preprocessing,
        time_limit_s=time_limit_s,
        log_folder=log_folder,
        on_line=on_line,
    )
    om = compiled.path.rename(folder / name)
    manifest = compiled_manifest(planned, om, cann_version=cann.version, argv=compiled.argv, platform=compiled.platform)
    manifest.write(manifest_path(om))
    return compiled, manifest
