"""What a ladder is climbed with: from an artifact's manifest, or from a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.errors import ToolchainError, UsageError
from neonext_ascend.exporters.onnx_file.constants import changed_constants
from neonext_ascend.images.preprocessing import Preprocessing, preprocessing_for
from neonext_ascend.jobs.checking import Model, Size
from neonext_ascend.jobs.making.form import choose_form
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.networks import load_networks
from neonext_ascend.jobs.verifying_file import check_tensors, file_warnings
from neonext_ascend.jobs.verifying_network import network_of
from neonext_ascend.jobs.watching import SILENT
from neonext_ascend.machine.chips import find_soc
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.precision.half import OVERFLOWS, Overflow, overflows_of
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.runtimes.registry import Runtime, opener, runtime_for
from neonext_ascend.verify.parity import OpenWithPoints
from neonext_ascend.verify.subject import Subject, tensors_of
from neonext_ascend.verify.vouched import held_to_own


@dataclass(frozen=True)
class Plan:
    """What is climbed.

    Args:
        checked: in the user's words.
        subject: the network, and the preparation of its pictures that is the model's own.
        request: how its ONNX file is.
        overflows, mode: of half precision.
        file, runtime: an ONNX artifact, and what opens it.
        prepared: how the manifest prepares pictures; ``None`` of a model.
        device: name of the last rung and what opens it.
        gears: batch sizes of an OM.
        int8: which int8 form the artifact has; empty where nothing is int8.
        changed: constants of an int8 file that are not those that were exported.
        moved: how an int8 artifact is farther from its own answers than another rounding; empty where it is not.
        notes: what the user should know.
        trained: whether the network's weights are.
    """

    checked: str
    subject: Subject
    request: FileRequest
    overflows: Sequence[Overflow] = OVERFLOWS
    mode: HalfMode = ALL
    file: Path | None = None
    runtime: Runtime = "ort"
    prepared: Preprocessing | None = None
    device: tuple[str, OpenWithPoints] | None = None
    gears: tuple[int, ...] = ()
    int8: str = ""
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    trained: bool = True


def of_artifact(path: Path, checkpoint: Path | None, runtime: Runtime, device: int) -> Plan:
    """From a file and its manifest; errors as of :func:`neonext_ascend.jobs.ladder`."""
    opens, manifest = runtime_for(path, runtime), manifest_of(path)
    loaded, notes = network_of(manifest, checkpoint)
    notes += file_warnings(path, manifest)
    config, open_file = loaded.network.config, opener(path, opens, device)
    own = replace(preprocessing_for(config.name, config.image_size), normalised_on=manifest.preprocessing.normalised_on)
    plan = Plan(
        str(path),
        Subject(loaded.network, own),
        FileRequest.of(manifest),
        prepared=manifest.preprocessing,
        trained=loaded.weights.trained,
        int8="" if manifest.int8 is None else str(manifest.int8.get("form")),
    )
    if opens != "acl":
        check_tensors(path, manifest, open_file)
        changed = changed_constants(with_its_data(path), manifest) if plan.int8 else ()
        moved = _moved(path, manifest, open_file)
        return replace(plan, file=path, runtime=opens, notes=notes, changed=changed, moved=moved)
    made = manifest.compilation
    if made is not None:
        plan = replace(
            plan, overflows=overflows_of(find_soc(made.soc_version)), mode=HalfMode(made.precision, made.keep_fp32)
        )
    try:
        check_tensors(path, manifest, open_file)
        plan = replace(plan, device=("om", open_file), moved=_moved(path, manifest, open_file))
    except ToolchainError as error:
        if runtime != "auto":
            raise
        notes.append(f"the OM itself was not run: {error}")
    return replace(plan, gears=() if made is None else made.gears, notes=notes)


def _moved(path: Path, manifest: Manifest, open_file: OpenWithPoints) -> tuple[str, ...]:
    own = held_to_own(path, manifest, open_file)
    return () if own is None or own.passed else (own.reason,)


def of_model(
    model: Model,
    config: str | Path | None,
    checkpoint: Path | None,
    image_size: Size | None,
    num_classes: int | None,
    seed: int,
    runtime: Runtime,
    device: int,
) -> Plan:
    """From a network in PyTorch; errors as of :func:`neonext_ascend.jobs.ladder`."""
    if runtime not in ("auto", "npu"):
        raise UsageError(f"--runtime {runtime} opens files; a model runs in PyTorch, or with --runtime npu on an NPU")
    (loaded,) = load_networks(
        model,
        config=config,
        checkpoint=checkpoint,
        sizes=(image_size,),
        num_classes=num_classes,
        seed=seed,
        watch=SILENT,
    )
    network = loaded.network
    form = choose_form(network.config, "auto", "auto", None, 1)
    subject = Subject(network, preprocessing_for(network.config.name, network.config.image_size))
    plan = Plan(
        str(model or config or checkpoint),
        subject,
        FileRequest(form=form),
        notes=list(loaded.notes),
        trained=loaded.weights.trained,
    )
    if runtime != "npu":
        return plan
    from neonext_ascend.runtimes.npu import NpuRunner

    deployed = prepare(network, layout=form.layout, lowering=form.lowering)[0]
    return replace(
        plan, device=("npu", lambda _: NpuRunner(deployed, *tensors_of(network), dtype="fp16", device=device))
    )
