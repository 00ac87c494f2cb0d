"""From a verified ONNX file to an OM with its manifest: pre-check, ATC, and parity where a device is at hand."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.manifest import Manifest, manifest_path
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.errors import ArtifactError, ToolchainError, UsageError
from neonext_ascend.exporters.atc_rules.inspecting import Finding, inspect_onnx
from neonext_ascend.exporters.om_file.manifest import om_manifest, om_name, om_preprocessing, stored_shape
from neonext_ascend.exporters.om_file.options import AtcOptions
from neonext_ascend.exporters.om_file.planned import compile_planned
from neonext_ascend.jobs.gating import Gated, Simulated, gate
from neonext_ascend.jobs.making.onnx_file import CHECKED, OnnxExport, Orders, ParityFailedError, artifact_json
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.cann import Cann
from neonext_ascend.precision.half import overflows_of
from neonext_ascend.precision.modes import HalfMode
from neonext_ascend.runtimes.registry import opener
from neonext_ascend.spec import MOVES, TOLERANCES
from neonext_ascend.verify.feeds import noise_feed
from neonext_ascend.verify.parity import Verdict
from neonext_ascend.verify.stored import stored_values
from neonext_ascend.verify.subject import Subject
from neonext_ascend.verify.vouched import held_to_own


@dataclass(frozen=True)
class OmExport:
    """What was made: files, manifest, warnings of the pre-check, and the verdict, or why there is none."""

    path: Path
    manifest_path: Path
    manifest: Manifest
    findings: tuple[Finding, ...]
    verdict: Verdict | None
    unchecked: str = ""
    gated: Gated | None = None

    def to_json(self) -> dict[str, Any]:
        """The artifact's entry in ``--json``."""
        assert self.manifest.compilation is not None
        return {
            **artifact_json(self.path, self.manifest),
            "compilation": asdict(self.manifest.compilation),
            "findings": [finding.to_json() for finding in self.findings],
            "parity": None if self.verdict is None else self.verdict.to_json(),
            "gate": None if self.gated is None else self.gated.to_json(),
        }


def planned_manifest(subject: Subject, made: OnnxExport, options: AtcOptions, command: Sequence[str] = ()) -> Manifest:
    """The OM's manifest before ATC runs, with the unfolded network's values for what the OM will be fed.

    Args:
        subject: the network.
        made: its ONNX file.
        options: of ATC.
        command: recorded in the manifest.

    Raises:
        UsageError: ``keep_fp32`` names a node that the file lacks.
    """
    check_nodes(made.path, options.keep_fp32)
    preprocessing = om_preprocessing(made.manifest, options)
    feed = noise_feed(stored_shape(made.manifest, options), preprocessing)
    known = made.manifest.reference
    if known is not None and known["input_shape"] == list(feed.array.shape) and feed.pixels is None:
        reference = {**known, "points": {}}  # computed for the ONNX file's check
    else:
        runner = subject.runner()
        reference = stored_values(feed, runner, runner.infer({runner.inputs[0].name: feed.array}), len(runner.outputs))
    return om_manifest(made.manifest, om_name(made.path.name, options), options, reference, command)


def export_om(
    loaded: LoadedNetwork,
    made: OnnxExport,
    options: AtcOptions,
    cann: Cann,
    orders: Orders = CHECKED,
    *,
    time_limit_s: float,
    command: Sequence[str] = (),
    watch: Watch = SILENT,
) -> OmExport:
    """Compile a verified ONNX file, and check the OM where this machine has a device of that chip.

    Args:
        loaded: the network.
        made: its ONNX file; the OM appears in the same folder.
        options: of ATC.
        cann: of this machine.
        orders: whether to check on a device, and what accuracy to keep.
        time_limit_s: seconds that ATC may take.
        command: recorded in the manifest.
        watch: told each line that ATC prints, and what is done after it.

    Raises:
        UsageError, ArtifactError: the pre-check or ATC refuses the file.
        ToolchainError: ATC is missing or broken.
        ParityFailedError, GateRefusedError: the device's numbers differ, or the accuracy drops; nothing was left.
    """
    findings = check_accepted(made.path, options)
    subject = Subject(loaded.network, om_preprocessing(made.manifest, options))
    planned = planned_manifest(subject, made, options, command)
    name, folder = planned.artifact.files[0].name, made.path.parent
    verdict, unchecked = None, _why_not_checked(orders.verify, cann, options)
    gated = gated_by_half(loaded, made, options, orders, watch) if unchecked else None
    with staged(folder) as stage, watch.working(f"making an OM of {made.path.name}") as on_line:
        _, manifest = compile_planned(
            made.path,
            made.manifest,
            planned,
            stage.folder,
            options,
            cann,
            time_limit_s=time_limit_s,
            log_folder=folder,
            on_line=on_line,
        )
        om = stage.folder / name
        if not unchecked:
            on_line("checking it on the device")
            batch = manifest.inputs[0].shape[0]
            bounds = TOLERANCES["int8" if manifest.int8 else "fp16"]
            checked = subject.check(opener(om), bounds, batch_size=batch if isinstance(batch, int) else None)
            verdict = Verdict(replace(checked.report, own=held_to_own(om, manifest, opener(om))))
            if not verdict.passed:
                raise ParityFailedError(f"{name}: parity failed on the device; no OM was written", verdict)
            manifest = replace(manifest, parity=verdict.to_json())
            manifest.write(manifest_path(om))
            if orders.gate is not None:
                gated = gate(subject, om, orders.gate, watch)
        stage.publish(name, manifest_path(om).name)
    final = folder / name
    return OmExport(final, manifest_path(final), manifest, findings, verdict, unchecked, gated)


def gated_by_half(
    loaded: LoadedNetwork, made: OnnxExport, options: AtcOptions, orders: Orders, watch: Watch
) -> Gated | None:
    """What the gate says of an OM that cannot run here, by its ONNX file in the chip's half precision.

    Raises:
        GateRefusedError: the accuracy drops.
    """
    if orders.gate is None:
        return None
    mode = HalfMode(options.precision, options.keep_fp32)
    simulated = Simulated(overflows_of(options.soc), mode, "the OM itself did not run")
    subject, name = Subject(loaded.network, made.manifest.preprocessing), om_name(made.path.name, options)
    return gate(subject, made.path, orders.gate, watch, simulated, name)


def check_accepted(onnx: Path, options: AtcOptions) -> tuple[Finding, ...]:
    """The pre-check's warnings.

    Raises:
        ArtifactError: ATC would refuse the file.
    """
    inspection = inspect_onnx(onnx, options.soc, options.precision)
    for finding in inspection.findings:
        if finding.severity == "error":
            code = f" ({finding.atc_code})" if finding.atc_code else ""
            raise ArtifactError(f"{onnx.name}: ATC would refuse it{code}: {finding.message}; {finding.remedy}")
    return inspection.findings


def check_kept(loads: Sequence[LoadedNetwork], requests: Sequence[FileRequest], names: Sequence[str]) -> None:
    """Whether each network's file will have nodes of these names that compute something.

    Raises:
        UsageError: as of :func:`check_nodes`.
    """
    with tempfile.TemporaryDirectory() as folder:
        for loaded, request in zip(loads, requests, strict=True):
            path = Path(folder) / request.name(loaded.network)
            request.emit(Subject(loaded.network), path)
            check_nodes(path, names)


def check_nodes(onnx: Path, names: Sequence[str]) -> None:
    """Whether the file has nodes of these names that compute something.

    Raises:
        UsageError: it lacks one, or it only reshapes; near ones are suggested.
    """
    if not names:
        return
    import difflib

    import onnx as onnx_package

    kinds = {node.name: node.op_type for node in onnx_package.load(str(onnx), load_external_data=False).graph.node}
    present = list(kinds)
    for name in names:
        if name not in present:
            near = difflib.get_close_matches(name, present, n=3, cutoff=0.5) or present[:3]
            raise UsageError(f"--keep-fp32 {name}: {onnx.name} has no such node; near ones: {', '.join(near)}")
        if kinds[name] in MOVES:
            inner = [other for other in present if other.startswith(f"{name}.")]
            raise UsageError(
                f"--keep-fp32 {name}: a {kinds[name]} in {onnx.name}, which computes nothing; name the nodes before it"
                + (f": {', '.join(inner)}" if inner else "")
            )


def require_atc(cann: Cann) -> None:
    """Refuse where there is no ATC, with two ways on.

    Raises:
        ToolchainError: it is missing.
    """
    if cann.atc is None:
        toolkit = "no CANN toolkit was found" if cann.toolkit is None else f"{cann.toolkit} has none"
        raise ToolchainError(
            f"atc is missing: {toolkit}; install CANN and source its set_env.sh, or take --dry-run for the exact "
            "command, or --bundle FILE.tar.gz to compile and check on a machine that has it"
        )


def _why_not_checked(verify: bool, cann: Cann, options: AtcOptions) -> str:
    """What keeps the OM from being checked here; empty where nothing does."""
    if not verify:
        return "--no-verify"
    if cann.soc_version != options.soc.name:
        return "this machine has none" if cann.soc_version is None else f"this machine has a {cann.soc_version}"
    return "" if importlib.util.find_spec("acl") is not None else "pyACL, the module acl, is missing here"
