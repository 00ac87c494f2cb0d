"""Inspect: what ATC would refuse in a file, or what each stage of a model costs on a chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from neonext_ascend.cost.choice import LayoutChoice
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.jobs.checking import BatchSize, Model, Size, checked
from neonext_ascend.jobs.inspection.file import InspectedFile, inspect_file
from neonext_ascend.jobs.inspection.model import InspectedModel, inspect_model
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.models.arguments import image_size_of
from neonext_ascend.models.config import NetworkConfig, with_image_size
from neonext_ascend.models.variants import VARIANTS, find_variant
from neonext_ascend.spec import Bounds


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
    memory: Annotated[float, Bounds(ge=0)] | None = None,
    measured: str | Path | None = None,
    watch: Watch = SILENT,
) -> InspectedFile | InspectedModel:
    """Hold a file against ATC's rules and estimate it, or count a model; nothing is compiled.

    Args:
        subject: anybody's ONNX file; or a model's name or configuration. A file of that name goes before a model.
        soc_version: the chip, such as ``Ascend310P3``.
        config: a TOML file in place of a model.
        precision: of a file: what ATC will be asked for, fp16 by default.
        batch_sizes: images at once, 1 by default; each number counts once. A file whose batch is fixed has its own.
        layout: of a model's maps; ``auto``, the default, compares both.
        image_size: of a model: pixels, or (height, width).
        plot: an SVG file for the roofline.
        memory: of a file: the card's memory in GB, to be told whether it fits and at which largest batch.
        measured: of a file: times of its operators on the card, ``op_summary_*.csv`` of the vendor's msprof.
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
        _refuse({"image-size": image_size, "layout": layout}, f"{subject} is a file", "a MODEL")
        batches = tuple(dict.fromkeys(batch_sizes or (1,)))
        of_a_file = (memory, _path(measured), _path(plot))
        return inspect_file(Path(subject), soc, precision or "fp16", batches, watch, *of_a_file)
    if subject is not None and config is not None:
        raise UsageError(f"both {subject} and --config {config}; give one")
    name = subject.name if isinstance(subject, NetworkConfig) else subject or config
    of_a_file_alone = {"precision": precision, "memory": memory, "measured": measured}
    _refuse(of_a_file_alone, f"{name} is a model, counted in fp16", "a FILE")
    network = _network(subject, config)
    if image_size is not None:
        network = with_image_size(network, image_size_of(image_size))
    batches = tuple(dict.fromkeys(batch_sizes or (1,)))
    return inspect_model(network, soc, batches, layout or "auto", _path(plot), watch)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


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
