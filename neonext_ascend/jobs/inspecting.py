"""Inspect: what ATC would refuse in a file, or what each stage of a model costs on a chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.errors import FileAccessError, UsageError
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.jobs.checking import BatchSize, Model, Size, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import SOCS, Soc, find_soc
from neonext_ascend.models.arguments import image_size_of
from neonext_ascend.models.config import NetworkConfig, with_image_size
from neonext_ascend.models.variants import VARIANTS, find_variant
from neonext_ascend.reporting.plotting import plotting
from neonext_ascend.spec import Bounds

if TYPE_CHECKING:
    from neonext_ascend.cost.file_cost import FileCost
    from neonext_ascend.cost.rows import NetworkRow, StageRow
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


@dataclass(frozen=True)
class InspectedModel:
    """What a model costs on a chip in fp16.

    Args:
        config: of the network.
        soc: the chip.
        layout: that was asked for; ``auto`` compares both.
        stages: one NeoCell of each stage in every layout and lowering.
        networks: the whole network, its lowerings chosen.
        notes: what the figures rest on, one sentence each.
        plot: the roofline, where one was asked for.
    """

    config: NetworkConfig
    soc: Soc
    layout: LayoutChoice
    stages: tuple[StageRow, ...]
    networks: tuple[NetworkRow, ...]
    notes: tuple[str, ...]
    plot: Path | None

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``; numbers are exact."""
        return {
            "model": self.config.name,
            "soc": self.soc.name,
            "dtype": "fp16",
            "assumptions": list(self.notes),
            "stages": [row.to_json() for row in self.stages],
            "network": [row.to_json() for row in self.networks],
            "plot": None if self.plot is None else str(self.plot.absolute()),
        }


@checked
def inspect(
    subject: Model | Path = None,
    *,
    soc_version: str,
    config: str | Path | None = None,
    precision: Precision | None = None,
    batch_sizes: Annotated[Sequence[BatchSize], Bounds(min_length=1)] | None = None,
    layout: LayoutChoice | None = None,
    image_size: Size | None = None,
    plot: str | Path | None = None,
    watch: Watch = SILENT,
) -> InspectedFile | InspectedModel:
    """Hold a file against ATC's rules and estimate it, or count a model; nothing is compiled, and no weights are read.

    Args:
        subject: anybody's ONNX file; or a model's name or configuration. A file of that name goes before a model.
        soc_version: the chip, such as ``Ascend310P3``.
        config: a TOML file in place of a model.
        precision: of a file: what ATC will be asked for, fp16 by default.
        batch_sizes: images at once, 1 by default; each number counts once. A file whose batch is fixed has its own.
        layout: of a model's maps; ``auto``, the default, compares both.
        image_size: of a model: pixels, or (height, width).
        plot: of a model: an SVG file for its roofline.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError: wrong usage or input.
        ToolchainError: a plot was asked for and matplotlib is missing.
        FileAccessError: a file cannot be read or written.
    """
    soc = find_soc(soc_version)
    if config is None and not isinstance(subject, NetworkConfig) and (subject is None or not _is_model(subject)):
        if subject is None:
            raise UsageError("neither FILE nor MODEL; give an ONNX file, or one of neonext-ascend list")
        of_a_model = {"image-size": image_size, "layout": layout, "plot": plot}
        _refuse(of_a_model, f"{subject} is a file", "a MODEL")
        return _file(Path(subject), soc, precision or "fp16", tuple(dict.fromkeys(batch_sizes or (1,))), watch)
    if subject is not None and config is not None:
        raise UsageError(f"both {subject} and --config {config}; give one")
    name = subject.name if isinstance(subject, NetworkConfig) else subject or config
    _refuse({"precision": precision}, f"{name} is a model, counted in fp16", "a FILE")
    network = _network(subject, config)
    if image_size is not None:
        network = with_image_size(network, image_size_of(image_size))
    batches = tuple(dict.fromkeys(batch_sizes or (1,)))
    return _model(network, soc, batches, layout or "auto", None if plot is None else Path(plot), watch)


def _refuse(options: Mapping[str, object], what: str, owner: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{what}; --{name} belongs to {owner}")


def _is_model(subject: str | Path) -> bool:
    """Whether it names a model.

    Raises:
        UsageError: it is neither a file nor a model, and does not look like a file's name.
    """
    path, word = Path(subject), str(subject)
    if word in VARIANTS and not path.is_file():
        return True  # a folder of that name is where its exports lie
    if isinstance(subject, Path) or path.exists() or path.suffix.lower() == ".onnx" or len(path.parts) > 1:
        return False
    try:
        find_variant(word)
    except UsageError as error:
        raise UsageError(f"{subject}: no such file, and {error}") from None
    return True


def _network(subject: str | Path | NetworkConfig | None, config: str | Path | None) -> NetworkConfig:
    if config is not None:
        from neonext_ascend.checkpoints.loading import read_config

        return read_config(Path(config))
    return subject if isinstance(subject, NetworkConfig) else find_variant(str(subject)).config


def _file(path: Path, soc: Soc, precision: Precision, batches: Sequence[int], watch: Watch) -> InspectedFile:
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


def _model(
    network: NetworkConfig, soc: Soc, batches: Sequence[int], layout: LayoutChoice, plot: Path | None, watch: Watch
) -> InspectedModel:
    if plot is not None and (soc.fp16_tflops is None or soc.bandwidth_gbs is None):
        complete = [other.name for other in SOCS.values() if other.fp16_tflops is not None and other.bandwidth_gbs]
        raise UsageError(
            f"--plot {plot}: {soc.name} has no peak or no bandwidth figure, so no roof; take {' or '.join(complete)}"
        )
    with plotting(plot) as publish, watch.working(f"counting {network.name}"):
        from neonext_ascend.cost.rows import assumptions, network_rows, stage_rows

        networks = tuple(network_rows(network, soc, batches, None if layout == "auto" else layout))
        stages = tuple(stage_rows(network, soc, networks))
        if plot is not None:
            publish(_roofline(network.name, soc, stages))
    return InspectedModel(network, soc, layout, stages, networks, tuple(assumptions(soc)), plot)


def _roofline(name: str, soc: Soc, stages: Sequence[StageRow]) -> str:
    from neonext_ascend.drawing.roofline import Point, Roof, draw_roofline

    assert soc.fp16_tflops is not None
    assert soc.bandwidth_gbs is not None
    roof = Roof(
        soc.fp16_tflops * 1e12,
        soc.bandwidth_gbs * 1e9,
        f"{soc.fp16_tflops:.1f} TFLOPS, derived",
        f"{soc.bandwidth_gbs:g} GB/s, a press figure",
    )
    points = [
        Point(r.batch, r.stage, r.layout, r.lowering, r.chosen, r.cost.intensity, 2e6 * r.cost.useful / r.estimate_us)
        for r in stages
        if r.estimate_us is not None
    ]
    subtitle = "one NeoCell of each stage, fp16; an estimate, nothing measured"
    return draw_roofline(f"{name} on {soc.name}", subtitle, roof, points)
