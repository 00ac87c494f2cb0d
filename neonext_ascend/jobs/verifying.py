"""Verify: an artifact or a model against its reference, again or on another machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from neonext_ascend.errors import UsageError
from neonext_ascend.jobs.checking import Device, Model, Size, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.environment import versions
from neonext_ascend.runtimes.registry import Runtime, is_artifact
from neonext_ascend.spec import TOLERANCES, Bounds, Dtype, Tolerance
from neonext_ascend.verify.parity import Verdict


@dataclass(frozen=True)
class Verification:
    """A verdict and how it was reached.

    Args:
        checked: the artifact or model.
        verdict: with every figure.
        against: what it was compared with.
        where: what computed, in words.
        warnings: what the user should know.
    """

    checked: str
    verdict: Verdict
    against: str
    where: str
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        return {
            "checked": self.checked,
            "runtime": self.where,
            "against": self.against,
            "parity": self.verdict.to_json(),
            "warnings": list(self.warnings),
            "environment": versions(),
        }


@dataclass(frozen=True)
class Options:
    """How a check is made.

    Args:
        reference: in which the reference network computes.
        atol, rtol: of each element, in place of the bounds for the artifact's dtype.
        runtime: that opens the artifact; ``auto`` goes by the file.
        device: number of the NPU.
        accumulation: of the partial sums inside a product, where half precision is computed.
    """

    reference: Literal["fp32", "fp64"] = "fp32"
    atol: float | None = None
    rtol: float | None = None
    runtime: Runtime = "auto"
    device: int = 0
    accumulation: Dtype = "fp32"

    def bounds(self, dtype: str) -> Tolerance:
        """The bounds for a dtype; where a user gives one of the two for each element, the other is fp32's."""
        default, element = TOLERANCES[dtype], TOLERANCES["fp32"]
        if self.atol is None and self.rtol is None:
            return default
        return replace(
            default,
            atol=element.atol if self.atol is None else self.atol,
            rtol=element.rtol if self.rtol is None else self.rtol,
        )


@checked
def verify(
    subject: Model | Path = None,
    *,
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    image_size: Size | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    reference: Literal["fp32", "fp64"] = "fp32",
    against: str | Path | None = None,
    runtime: Runtime = "auto",
    device: Device = 0,
    dtype: Dtype | None = None,
    atol: Annotated[float, Bounds(ge=0)] | None = None,
    rtol: Annotated[float, Bounds(ge=0)] | None = None,
    accumulation: Dtype = "fp32",
    watch: Watch = SILENT,
) -> Verification:
    """Compare an artifact with the network it was made from, or a prepared network with the unfolded one.

    Args:
        subject: an ONNX or OM file with its manifest beside it; or a model's name or configuration.
        config: a TOML file in place of a model.
        checkpoint: of the weights: an artifact's own, for the full check where they were not packaged or drawn.
        image_size, num_classes, seed: of a model.
        reference: in which the reference network computes.
        against: an ONNX file as an artifact's reference, in ONNX Runtime on the CPU.
        runtime: that opens the artifact; of a model ``npu`` for torch_npu, else the CPU.
        device: number of the NPU.
        dtype: in which the NPU computes a model, fp16 by default; the CPU computes in fp32.
        atol, rtol: of each element, in place of the bounds for the dtype.
        accumulation: of the partial sums inside a product of an fp16 file: fp32 as on the cube unit, or fp16.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input, or nothing to compare with.
        FileAccessError: a file cannot be read.
        ToolchainError: what runs the subject is missing here.
    """
    options = Options(reference, atol, rtol, runtime, device, accumulation)
    where = f"checking {subject or config or checkpoint}"
    if isinstance(subject, Path) or (isinstance(subject, str) and is_artifact(subject)):
        if any(given is not None for given in (config, image_size, num_classes, seed, dtype)):
            raise UsageError(
                "--config, --image-size, --num-classes, --seed and --dtype are a model's; the artifact's manifest "
                "tells them"
            )
        if against is not None and checkpoint is not None:
            raise UsageError(f"both --against {against} and --checkpoint {checkpoint}; give one")
        from neonext_ascend.jobs.verifying_file import verify_file

        with watch.working(where):
            return verify_file(Path(subject), _path(against), _path(checkpoint), options)
    if against is not None:
        raise UsageError(f"--against {against} compares an artifact; a model is compared with its unfolded network")
    if runtime not in ("auto", "npu"):
        raise UsageError(f"--runtime {runtime} opens files; a model runs in PyTorch, or with --runtime npu on an NPU")
    if dtype is not None and runtime != "npu":
        raise UsageError("--dtype is of a model on the NPU; give --runtime npu with it")
    with watch.working(where):
        from neonext_ascend.jobs.networks import load_networks
        from neonext_ascend.jobs.verifying_network import verify_network

        (loaded,) = load_networks(
            subject,
            config=config,
            checkpoint=checkpoint,
            sizes=(image_size,),
            num_classes=num_classes,
            seed=seed or 0,
            watch=SILENT,
        )
        return verify_network(str(subject or config or checkpoint), loaded, options, dtype or "fp16")


def _path(word: str | Path | None) -> Path | None:
    return None if word is None else Path(word)
