"""A verified ONNX file as a model of Triton's, and the usage errors that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from neonext_ascend.artifacts.manifest import manifest_path
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.om_file.options import AtcOptions, Precision
from neonext_ascend.exporters.triton_repository.config import config_text
from neonext_ascend.exporters.triton_repository.writing import VERSION, check_place, write_model
from neonext_ascend.jobs.checking import BatchSize, checked_fields
from neonext_ascend.jobs.making.om_in_half import judged
from neonext_ascend.jobs.making.om_request import check_dtype
from neonext_ascend.jobs.making.onnx_file import OnnxExport, ParityFailedError
from neonext_ascend.jobs.watching import Watch
from neonext_ascend.machine.chips import Soc, find_soc
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.spec import FileDtype, GeluForm
from neonext_ascend.verify.subject import Subject

_GEARS = tuple(range(1, 9))
_MOST = 100  # gears that GE takes, as ATC does


@dataclass(frozen=True, slots=True)
class TritonRequest:
    """A model for Triton, in the words of the command's options.

    Args:
        repository: folder of models; created where absent.
        batch_gears: of a free batch, 1 to 8 by default: every batch size up to the largest, for the backend forms any.
        precision: in which the device computes; by default fp16, or as an fp16 file's own types say.
        soc_version: the chip, where it is known: layout, lowering and half precision go by it.
    """

    repository: str | Path
    batch_gears: Sequence[BatchSize] = ()
    precision: Precision | None = None
    soc_version: str | None = None

    def checked(
        self,
        batch_size: int | Literal["dynamic"] | None,
        dtype: FileDtype,
        gelu: GeluForm,
        *,
        sizes: int,
        kept: Sequence[str],
    ) -> TritonPlan:
        """The plan, and with it the ONNX file's batch size.

        Args:
            batch_size: that was asked for.
            dtype, gelu: of the ONNX file.
            sizes: how many image sizes were asked for.
            kept: what may keep nodes of an fp16 file in fp32.

        Raises:
            UsageError: what the backend cannot take.
        """
        request = checked_fields(self)
        gears = tuple(request.batch_gears)
        if dtype == "int8":
            raise UsageError(
                "--triton with --dtype int8: the backend reads the file with ONNX Runtime, which does not know the "
                "deploy form, and then with the parser of ATC, which does not know QDQ; give fp32 or fp16"
            )
        if gelu == "npu":
            raise UsageError(
                "--triton with --gelu npu: the backend reads the file with ONNX Runtime, which does not know "
                "NPUGeluV2; take --gelu erf or tanh"
            )
        if sizes > 1:
            raise UsageError(f"--triton {request.repository}: holds one image size, {sizes} were asked for; give one")
        if gears and isinstance(batch_size, int):
            raise UsageError(f"both --batch-size {batch_size} and --batch-gears: a batch is static or free; give one")
        if batch_size == "dynamic" and not gears:
            gears = _GEARS
        if gears and (gears != tuple(range(1, len(gears) + 1)) or not 2 <= len(gears) <= _MOST):
            raise UsageError(
                f"--batch-gears {','.join(map(str, gears))}: Triton's backend forms every batch up to the largest, and "
                f"each needs a gear; give 1,2,3 and so on without a gap, 2 to {_MOST} of them"
            )
        if dtype == "fp16" and kept and request.precision not in (None, "origin"):
            raise UsageError(
                f"--precision {request.precision} computes also those nodes in half precision that stay in fp32; leave "
                "it out"
            )
        precision: Precision = request.precision or ("origin" if dtype == "fp16" else "fp16")
        rows = None if gears else int(batch_size or 1)
        soc = None if request.soc_version is None else find_soc(request.soc_version)
        if soc is not None:
            check_dtype(AtcOptions(soc, precision), dtype)
        return TritonPlan(Path(request.repository), gears, precision, rows, soc)


@dataclass(frozen=True, slots=True)
class TritonPlan:
    """A checked request; ``batch_size`` is the ONNX file's, ``None`` with gears."""

    repository: Path
    gears: tuple[int, ...]
    precision: Precision
    batch_size: int | None
    soc: Soc | None

    def folder(self, loaded: LoadedNetwork) -> Path:
        """Of the model, named after the network and what it gives.

        Raises:
            UsageError, FileAccessError: as of :func:`check_place`.
        """
        folder = self.repository / f"{loaded.network.config.name}{loaded.network.form}"
        check_place(folder)
        return folder


@dataclass(frozen=True, slots=True)
class TritonModel:
    """What was made: the model's folder, its name, how the backend is to compile it, and whether one was there."""

    path: Path
    name: str
    gears: tuple[int, ...]
    precision: Precision
    replaced: bool

    def to_json(self) -> dict[str, Any]:
        """The model's entry in ``--json``."""
        return {
            "path": str(self.path.absolute()),
            "format": "triton",
            "model": self.name,
            "version": VERSION,
            "batch_gears": list(self.gears),
            "precision": self.precision,
            "replaced": self.replaced,
        }


def write_triton(plan: TritonPlan, loaded: LoadedNetwork, made: OnnxExport, watch: Watch) -> TritonModel:
    """Put a verified ONNX file into the repository.

    Raises:
        ParityFailedError: half precision, in which the device computes it, does not hold it; nothing was put there.
        UsageError, FileAccessError: it cannot be put there.
    """
    if made.verdict is not None and made.manifest.artifact.dtype == "fp32" and plan.precision != "origin":
        feeds = list(Subject(loaded.network, made.manifest.preprocessing).feeds(plan.batch_size, plan.gears))
        half, failed = judged(made, feeds, HalfMode(plan.precision), plan.soc, watch)
        if failed:
            reason = f"{made.path.name} with --precision {plan.precision}: {failed[0]}; nothing was put into "
            cure = "; --dtype fp16 --rescue finds the nodes that must stay in fp32"
            raise ParityFailedError(f"{reason}{plan.repository}{cure}", replace(made.verdict, half=half))
    folder, manifest = plan.folder(loaded), made.manifest
    files = [*(made.path.with_name(file.name) for file in manifest.artifact.files), manifest_path(made.path)]
    config = config_text(folder.name, manifest.inputs, manifest.outputs, plan.precision, plan.gears)
    with watch.working(f"writing {folder}"):
        replaced = write_model(plan.repository, folder.name, files, config)
    return TritonModel(folder, folder.name, plan.gears, plan.precision, replaced)
