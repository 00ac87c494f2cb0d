"""What ATC would refuse in a file, and what the file costs on a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neonext_ascend.errors import FileAccessError
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc

if TYPE_CHECKING:
    from neonext_ascend.cost.file_cost import FileCost
    from neonext_ascend.exporters.atc_rules.rules import Inspection


@dataclass(frozen=True)
class InspectedFile:
    """What ATC would refuse or quietly change in a file, asked for this chip and precision, and what the file costs."""

    path: Path
    soc: Soc
    precision: Precision
    inspection: Inspection
    cost: FileCost

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        estimates = [estimate.to_json() for estimate in self.cost.estimates]
        return {**self.inspection.to_json(), "estimates": estimates, "cost": self.cost.to_json()}


def inspect_file(path: Path, soc: Soc, precision: Precision, batches: Sequence[int], watch: Watch) -> InspectedFile:
    """Errors as of :func:`neonext_ascend.jobs.inspect`."""
    if not path.exists():
        raise FileAccessError(f"{path}: no such file; expected an ONNX file, such as neonext-ascend export writes")
    with watch.working(f"inspecting {path}"):
        from neonext_ascend.artifacts.skim import skim_model
        from neonext_ascend.cost.file_cost import cost_or_reason
        from neonext_ascend.exporters.atc_rules.rules import inspect_onnx
        from neonext_ascend.runtimes.onnx_file import check_onnx_file

        if path.is_file():  # what is no file is said by inspect_onnx; a pipe would never end here
            check_onnx_file(path)
        inspection = inspect_onnx(path, soc, precision)
        return InspectedFile(path, soc, precision, inspection, cost_or_reason(skim_model(path), soc, batches))
