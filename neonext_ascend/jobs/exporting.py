"""Export: networks to verified ONNX files, and where asked for to OMs or bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.cost.choice import LayoutChoice, LoweringChoice, check_form
from neonext_ascend.data import counted_labels, labels_for, read_labels
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.om_file.places import work_place
from neonext_ascend.exporters.onnx_file.building import DEFAULT_OPSET
from neonext_ascend.exporters.onnx_file.export import check_opset
from neonext_ascend.jobs.bundle.packing import Bundle, write_bundle
from neonext_ascend.jobs.checking import BatchSize, Model, Size, checked
from neonext_ascend.jobs.gating import gate_request
from neonext_ascend.jobs.int8.making import export_int8
from neonext_ascend.jobs.int8.request import Int8Request, int8_plan
from neonext_ascend.jobs.making.dry_run import DryRun, dry_run
from neonext_ascend.jobs.making.form import choose_form
from neonext_ascend.jobs.making.om_file import OmExport, check_kept, export_om, gated_by_half, require_atc
from neonext_ascend.jobs.making.om_in_half import held_by_half
from neonext_ascend.jobs.making.om_request import OmPlan, OmRequest, check_gelu
from neonext_ascend.jobs.making.onnx_file import OnnxExport, Orders, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.making.triton_model import TritonModel, TritonRequest, write_triton
from neonext_ascend.jobs.networks import load_networks
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.cann import Cann, find_cann
from neonext_ascend.spec import Bounds, FileDtype, GeluForm, MapLayout

Made = OnnxExport | OmExport | Bundle | TritonModel


@dataclass(frozen=True)
class Export:
    """What was made.

    Args:
        artifacts: for each image size its OM, bundle or Triton's model, if one was asked for, then its ONNX file.
        commands: of a dry run, which makes nothing.
    """

    artifacts: tuple[Made, ...] = ()
    commands: tuple[DryRun, ...] = ()

    @property
    def onnx(self) -> OnnxExport:
        """The ONNX file of the first image size."""
        return next(made for made in self.artifacts if isinstance(made, OnnxExport))

    def to_json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        if self.commands:
            return {"commands": [command.to_json() for command in self.commands]}
        verdict = self.onnx.verdict
        return {
            "artifacts": [made.to_json() for made in self.artifacts],
            "parity": None if verdict is None else verdict.to_json(),
        }


@checked
def export(
    model: Model = None,
    *,
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    image_size: Size | None = None,
    image_sizes: Annotated[Sequence[Size], Bounds(min_length=1)] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
    batch_size: BatchSize | Literal["dynamic"] | None = None,
    dtype: FileDtype = "fp32",
    int8: Int8Request | None = None,
    keep_fp32: Sequence[str] = (),
    opset: int = DEFAULT_OPSET,
    layout: LayoutChoice = "auto",
    lowering: LoweringChoice = "auto",
    gelu: GeluForm = "erf",
    features: MapLayout | None = None,
    om: OmRequest | None = None,
    triton: TritonRequest | None = None,
    labels: str | Path | Sequence[str] | None = None,
    output: str | Path = ".",
    verify: bool = True,
    rescue: bool = False,
    gate: str | Path | None = None,
    max_drop: Annotated[float, Bounds(ge=0, le=100)] | None = None,
    command: Sequence[str] = (),
    watch: Watch = SILENT,
) -> Export:
    """Export a network to a verified ONNX file with its manifest, and where asked for to an OM for a chip.

    Args:
        model: a name of ``jobs.list_models()`` or a configuration; without one the checkpoint decides.
        config: a TOML file in place of a model.
        checkpoint: ``.pt`` or ``.safetensors``; without one the weights are NeoInit's, untrained, but for
            ``neonext_nano``.
        image_size: pixels, or (height, width).
        image_sizes: several, files for each.
        num_classes, seed: without a checkpoint.
        batch_size: of the ONNX input, 1 by default; ``"dynamic"`` leaves it free.
        dtype: of weights, input and output; int8 of the products' operands.
        int8: the calibration, which int8 needs.
        keep_fp32: nodes of an fp16 file that compute in fp32 all the same; an OM's are its own.
        opset: 11 to 18; exactly this one is written.
        layout, lowering: ``auto`` goes by the cost model for a chip.
        gelu: ``erf`` is exact; ``tanh`` its tanh form, judged as fp16 is; ``npu`` the vendor's operator, for 910B.
        features: give the maps of the four stages in place of logits, ``nchw`` or ``nhwc``.
        om: the OM that is asked for.
        triton: the model repository that is asked for, for Triton with the vendor's backend.
        labels: names of the classes, or a file with one a line.
        output: folder; created where absent.
        verify: whether to check parity before a file appears.
        rescue: where half precision fails, find the smallest set of nodes that must stay in fp32, and keep it so.
        gate: labelled pictures on which the file is compared with the network before it appears.
        max_drop: points of top-1 that it may lose there, 0.2 by default.
        command: recorded in the manifest.
        watch: told of each long step and of each artifact when it is there.

    Raises:
        ParityFailedError, GateRefusedError: the numbers differ, or the accuracy drops; nothing was left.
        UsageError, CheckpointError, ArtifactError, GeometryError: wrong usage or input.
        ToolchainError: atc is missing or broken.
        FileAccessError: a file cannot be read or written.
    """
    opset = check_opset(opset)
    check_form(layout, lowering)
    if image_size is not None and image_sizes is not None:
        raise UsageError("both --image-size and --image-sizes; give one")
    rows = None if batch_size == "dynamic" else batch_size or 1
    plan = None if om is None else om.checked(rows, dtype, batch_given=batch_size is not None)
    sizes = image_sizes or (image_size,)
    if om is not None and triton is not None:
        raise UsageError("both --format om and --triton, whose backend compiles the ONNX file itself; give one")
    others = [name for name, given in (("--keep-fp32", keep_fp32), ("--rescue", rescue)) if given]
    served = None if triton is None else triton.checked(batch_size, dtype, gelu, sizes=len(sizes), kept=others)
    if rescue and dtype != "int8" and (not verify or (plan is None and dtype != "fp16")):
        raise UsageError("--rescue mends half precision that was checked; give --dtype fp16 or --format om with it")
    if plan is not None:
        plan = replace(plan, rescue=rescue)
    if keep_fp32 and dtype == "fp32":
        raise UsageError("--keep-fp32 keeps nodes of half precision; give --dtype fp16 or --format om with it")
    target = plan or served
    soc = None if target is None else target.soc
    check_gelu(gelu, soc)
    classes = {"--labels": labels, "--gate": gate, "--bundle": plan and plan.bundle, "--dtype int8": int8}
    if features is not None and (stray := [name for name, value in classes.items() if value is not None]):
        raise UsageError(f"{stray[0]}: is of a file that gives classes; --features gives maps in their place")
    eight = int8_plan(int8, dtype, layout=layout, opset=opset, rows=rows, soc=soc, others=others)
    gated = gate_request(gate, max_drop)
    with watch.working("building the network"):
        loads = load_networks(
            model, config=config, checkpoint=checkpoint, sizes=sizes, num_classes=num_classes, seed=seed, watch=watch
        )
    if gated is not None and not loads[0].weights.trained:
        raise UsageError(f"--gate {gate}: untrained weights have no accuracy to lose; give a checkpoint")
    network = loads[0].network.config
    names = labels_for(network.name, network.num_classes) if features is None else ()
    loads = loads if features is None else [loaded.with_maps(features) for loaded in loads]
    if isinstance(labels, str | Path):
        names = read_labels(Path(labels), network.num_classes)
    elif labels is not None:
        names = counted_labels(labels, network.num_classes, "labels")
    largest = rows if target is None else max(target.gears, default=rows)
    request = FileRequest(
        batch_size=rows if target is None else target.batch_size,
        opset=opset,
        dtype="fp32" if dtype == "int8" else dtype,
        keep_fp32=tuple(keep_fp32),
        gelu=gelu,
    )
    orders = Orders(verify, rescue and dtype == "fp16", gated)
    form = layout if eight is None else "nchw"
    requests = [
        replace(
            request,
            form=choose_form(loaded.network.config, form, lowering, soc, largest),
        )
        for loaded in loads
    ]
    if served is not None:
        served.folder(loads[0])
    folder, cann = Path(output), find_cann() if plan is not None else None
    if plan is not None and cann is not None:
        _check_before(plan, loads, requests, folder, cann, watch)
        if plan.dry_run:
            return Export(
                commands=tuple(dry_run(plan, *pair, folder, cann) for pair in zip(loads, requests, strict=True))
            )
    artifacts: list[Made] = []
    for loaded, asked in zip(loads, requests, strict=True):
        if eight is None:
            files = [export_verified(loaded, folder, names, asked, orders, command=command, watch=watch)]
        else:
            files = export_int8(loaded, folder, names, asked, orders, eight, command=command, watch=watch)
        for made in files:
            artifacts.append(made)
            watch.made(made)
        end: Made | None = None
        if plan is not None and cann is not None:
            end = _om_or_bundle(plan, loaded, made, cann, orders, command, watch)
        elif served is not None:
            end = write_triton(served, loaded, made, watch)
        if end is not None:
            artifacts.insert(-1, end)
            watch.made(end)
    return Export(tuple(artifacts))


def _om_or_bundle(
    plan: OmPlan,
    loaded: LoadedNetwork,
    made: OnnxExport,
    cann: Cann,
    orders: Orders,
    command: Sequence[str],
    watch: Watch,
) -> OmExport | Bundle:
    # The deploy form was judged as the chip rounds when it was made.
    options = plan.options if made.manifest.int8 else held_by_half(loaded, made, plan, watch)
    if plan.bundle is None:
        limit = plan.time_limit_s
        return export_om(loaded, made, options, cann, orders, time_limit_s=limit, command=command, watch=watch)
    gated = gated_by_half(loaded, made, options, orders, watch)
    with watch.working(f"packing {plan.bundle.name}"):
        return replace(write_bundle(plan.bundle, loaded, made, options, command), gated=gated)


def _check_before(
    plan: OmPlan,
    loads: Sequence[LoadedNetwork],
    requests: Sequence[FileRequest],
    output: Path,
    cann: Cann,
    watch: Watch,
) -> None:
    """What must be known before long work: the kept nodes exist, and where one is needed there is a usable ATC."""
    if plan.bundle is not None and len(loads) > 1:
        raise UsageError(f"--bundle {plan.bundle}: holds one image size, {len(loads)} were asked for; give one")
    if plan.options.keep_fp32:
        with watch.working("looking at the nodes"):
            check_kept(loads, requests, plan.options.keep_fp32)
    if plan.bundle is None and not plan.dry_run:
        require_atc(cann)
        work_place(output)
