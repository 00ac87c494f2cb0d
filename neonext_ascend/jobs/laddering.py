"""The parity ladder of an artifact or a model: every form between PyTorch and a chip, made and held to the others."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.jobs.checking import Device, Model, Size, checked
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.runtimes.registry import Runtime, is_artifact
from neonext_ascend.verify.ladder import Ladder


@checked
def ladder(
    subject: Model | Path = None,
    *,
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    image_size: Size | None = None,
    num_classes: int | None = None,
    seed: int | None = None,
    runtime: Runtime = "auto",
    device: Device = 0,
    watch: Watch = SILENT,
) -> Ladder:
    """Climb from PyTorch to what runs on a chip, and say at which form, node and likely cause the numbers go wrong.

    The forms: PyTorch as trained, pictures as the manifest prepares them, folded, lowered, ONNX in fp32, the artifact
    as it was found, fp16 with every node rounded in each way of overflowing, and the OM or the NPU where it runs here.

    Args:
        subject: an ONNX or OM file with its manifest beside it; or a model's name or configuration.
        config: a TOML file in place of a model.
        checkpoint: of the weights, where they were not packaged or drawn from a seed.
        image_size, num_classes, seed: of a model.
        runtime: ``npu`` runs a model in torch_npu as well, ``cann`` an ONNX file there.
        device: number of the NPU.
        watch: told of each long step.

    Raises:
        UsageError, ArtifactError, CheckpointError: wrong usage or input.
        FileAccessError: a file cannot be read.
        ToolchainError: PyTorch is missing, or what ``runtime`` asks for.
    """
    if importlib.util.find_spec("torch") is None:
        raise ToolchainError("--ladder begins in PyTorch, which is not installed here; verify without it needs none")
    from neonext_ascend.jobs.climb.climber import climb
    from neonext_ascend.jobs.climb.plan import of_artifact, of_model

    weights = None if checkpoint is None else Path(checkpoint)
    if isinstance(subject, Path) or (isinstance(subject, str) and is_artifact(subject)):
        if any(given is not None for given in (config, image_size, num_classes, seed)):
            raise UsageError("--config, --image-size, --num-classes and --seed are a model's; the manifest tells them")
        planned = of_artifact(Path(subject), weights, runtime, device)
    else:
        planned = of_model(subject, config, weights, image_size, num_classes, seed or 0, runtime, device)
    return climb(planned, watch)
