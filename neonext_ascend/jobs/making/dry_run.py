"""What atc would be called with, where nothing is made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.cost.choice import GraphForm
from neonext_ascend.exporters.om_file.command import AtcCommand, atc_command
from neonext_ascend.exporters.om_file.manifest import om_name
from neonext_ascend.exporters.om_file.places import check_atc_path, real
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.jobs.making.om_request import OmPlan
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.machine.cann import Cann
from neonext_ascend.spec import INPUT, NUMPY_DTYPES, TensorSpec


@dataclass(frozen=True)
class DryRun:
    """What atc would be called with, and the form of the ONNX file that it would read."""

    command: AtcCommand
    form: GraphForm
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The command's entry in ``--json``."""
        return {
            "argv": list(self.command.argv),
            "environment": dict(self.command.environ),
            "files": dict(self.command.files),
            "layout": self.form.layout,
            "layout_reason": self.form.reason,
        }

    def lines(self) -> Iterator[str]:
        """A script for a shell."""
        yield f"# layout {self.form.layout}{f': {self.form.reason}' if self.form.reason else ''}"
        for name, text in self.command.files.items():
            yield f"# {self.folder / name}:"
            yield from (f"#   {line}" for line in text.splitlines())
        for variable, value in self.command.environ.items():
            yield f"export {variable}={shlex.quote(value)}"
        yield shlex.join(self.command.argv)


def dry_run(plan: OmPlan, loaded: LoadedNetwork, request: FileRequest, folder: Path, cann: Cann) -> DryRun:
    """The call for one network.

    Raises:
        UsageError: ATC would refuse the path of the ONNX file.
    """
    config, whole = loaded.network.config, real(folder)
    onnx = whole / request.name(loaded.network)
    check_atc_path(onnx)
    rows: int | str = "batch" if request.batch_size is None else request.batch_size
    command = atc_command(
        onnx,
        onnx.with_name(om_name(onnx.name, plan.options).removesuffix(".om")),
        TensorSpec(INPUT, NUMPY_DTYPES[request.dtype], (rows, 3, *config.image_size)),
        plan.options,
        work=whole,
        atc="atc" if cann.atc is None else str(cann.atc),
        toolkit=cann.toolkit if cann.driver is None else None,
        preprocessing=preprocessing_for(config.name, config.image_size),
    )
    return DryRun(command, request.form, whole)
