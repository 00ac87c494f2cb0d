"""What ATC would refuse in a file, and what the file costs on a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neonext_ascend.drawing.dearest import draw_dearest
from neonext_ascend.errors import ArtifactError, FileAccessError, UsageError
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.jobs.inspection.roof import fit_for, marks_of, roof_of
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc
from neonext_ascend.reporting.plotting import plotting

if TYPE_CHECKING:
    from neonext_ascend.cost.answer import FileCost
    from neonext_ascend.cost.joining import Comparison
    from neonext_ascend.exporters.atc_rules.inspecting import Inspection


@dataclass(frozen=True)
class InspectedFile:
    """What ATC would refuse or quietly change in a file, asked for this chip and precision, and what the file costs.

    Attributes:
        measured: the estimate beside measured times, where a table of them was given.
        plot: the roofline, where one was asked for.
    """

    path: Path
    soc: Soc
    precision: Precision
    inspection: Inspection
    cost: FileCost
    measured: Comparison | None = None
    plot: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        measured = None if self.measured is None else self.measured.to_json()
        return {
            **self.inspection.to_json(),
            "estimates": [estimate.to_json() for estimate in self.cost.estimates],
            "cost": {**self.cost.to_json(), "measured": measured},
            "plot": None if self.plot is None else str(self.plot.absolute()),
        }


def inspect_file(
    path: Path,
    soc: Soc,
    precision: Precision,
    batches: Sequence[int],
    watch: Watch,
    memory: float | None = None,
    measured: Path | None = None,
    plot: Path | None = None,
) -> InspectedFile:
    """Errors as of :func:`neonext_ascend.jobs.inspect`."""
    if not path.exists():
        raise FileAccessError(f"{path}: no such file; expected an ONNX file, such as neonext-ascend export writes")
    fit = None if plot is None else fit_for(plot, soc)
    with plotting(plot) as publish, watch.working(f"inspecting {path}"):
        from neonext_ascend.artifacts.skim import skim_model
        from neonext_ascend.cost.file_cost import cost_or_reason
        from neonext_ascend.cost.useful import with_useful
        from neonext_ascend.exporters.atc_rules.inspecting import inspect_onnx
        from neonext_ascend.runtimes.onnx_file import check_onnx_file

        if path.is_file():  # what is no file is said by inspect_onnx; a pipe would never end here
            check_onnx_file(path)
        inspection = inspect_onnx(path, soc, precision)
        room = None if memory is None else round(memory * 1e9)
        model = skim_model(path)
        cost = with_useful(cost_or_reason(model, soc, batches, room), model, path)
        comparison = None if measured is None else _compared(path, measured, cost)
        if fit is not None:
            _need_estimate("--plot", path, cost)
            title, roof = f"{path.name} on {soc.name}, batch {cost.batch}", roof_of(soc, fit, "bandwidth")
            publish(draw_dearest(title, roof, marks_of(cost)))
        return InspectedFile(path, soc, precision, inspection, cost, comparison, plot)


def _compared(path: Path, measured: Path, cost: FileCost) -> Comparison:
    from neonext_ascend.cost.joining import compare
    from neonext_ascend.cost.measured import read_summary

    rows = read_summary(measured)
    _need_estimate("--measured", path, cost)
    try:
        return compare(cost, rows)
    except ArtifactError as error:
        raise ArtifactError(f"{measured}: {error}") from None


def _need_estimate(option: str, path: Path, cost: FileCost) -> None:
    if not cost.estimates:
        reason = cost.notes[0] if cost.notes else "it has no operator"
        raise UsageError(f"{option}: there is no estimate of {path}: {reason.removeprefix('no estimate: ')}")
