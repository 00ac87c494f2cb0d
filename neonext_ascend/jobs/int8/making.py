"""From a verified float32 file to its int8 forms: QDQ, the vendor's deploy form and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx

from neonext_ascend.artifacts.manifest import ArtifactFile, Manifest, manifest_path
from neonext_ascend.artifacts.staging import sha256_of, staged
from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.checkpoints.loading import LoadedNetwork
from neonext_ascend.exporters.int8.decision import Decision
from neonext_ascend.exporters.int8.deploy import deploy_model
from neonext_ascend.exporters.int8.qdq import jittered, qdq_model
from neonext_ascend.exporters.int8.record import record_text
from neonext_ascend.exporters.onnx_file.constants import checksums_of
from neonext_ascend.jobs.gating import Gated
from neonext_ascend.jobs.int8.acceptance import accepted
from neonext_ascend.jobs.int8.calibration import Pictures, read_calibration
from neonext_ascend.jobs.int8.deciding import decided_on
from neonext_ascend.jobs.int8.dropping import fewest_kept, measured
from neonext_ascend.jobs.int8.judging import check_agreement, check_deploy
from neonext_ascend.jobs.int8.request import Int8Plan
from neonext_ascend.jobs.making.onnx_file import OnnxExport, Orders, ParityFailedError, export_verified
from neonext_ascend.jobs.making.request import FileRequest
from neonext_ascend.jobs.watching import SILENT, Watch
from neonext_ascend.machine.chips import Soc
from neonext_ascend.precision.int8.quantising import Quantised
from neonext_ascend.runtimes.registry import opener
from neonext_ascend.spec import TOLERANCES, TensorSpec
from neonext_ascend.verify.own_answers import own_answers, with_rounding_of
from neonext_ascend.verify.parity import Verdict
from neonext_ascend.verify.subject import Subject

_Floating = Literal["float32", "float16"]


def export_int8(
    loaded: LoadedNetwork,
    folder: Path,
    labels: Sequence[str],
    request: FileRequest,
    orders: Orders,
    plan: Int8Plan,
    *,
    command: Sequence[str] = (),
    watch: Watch = SILENT,
) -> list[OnnxExport]:
    """Write the network in float32, decide on pictures, write what was asked for; all of it appears or nothing.

    Args:
        loaded, folder, labels, orders, command, watch: as of :func:`export_verified`.
        request: of the float32 file.
        plan: of int8.

    Returns:
        The QDQ file, then the deploy form if one was asked for.

    Raises:
        ParityFailedError, GateRefusedError: the numbers differ, or the accuracy drops whatever stays in fp16.
        UsageError, ArtifactError: calibration pictures that will not do, or a graph that cannot be int8.
        FileAccessError: a file cannot be read or written.
    """
    with staged(folder) as stage:
        plain = replace(orders, gate=None, rescue=False)
        made = export_verified(loaded, stage.folder / "fp32", labels, request, plain, command=command, watch=watch)
        with watch.working(f"reading calibration pictures from {plan.folder}"):
            pictures = read_calibration(plan.folder, made.manifest.preprocessing, watch)
            facts = accepted(
                pictures, loaded.network, trained=loaded.weights.trained, anyway=plan.request.anyway, watch=watch
            )
        found, told = decided_on(pictures, facts, load_model(made.path), request.batch_size, plan.request, watch)
        costs = measured(found, pictures, request.batch_size, watch) if plan.request.sensitivity else {}
        name = made.path.name.removesuffix("-fp32.onnx")
        writer = _Writer(loaded, made, found, pictures, told, stage.folder, f"{name}-int8", watch)
        gated, decision = None, found.decision
        if orders.gate is not None:
            gated, decision, costs = fewest_kept(
                found, pictures, request.batch_size, writer.qdq, orders.gate, costs, watch
            )
        told["sensitivity"] = costs or None
        files = [writer.checked(decision, verify=orders.verify, gated=gated)]
        if plan.soc is not None:
            files.append(writer.deploy(decision, plan.soc))
        names = [one for file in files for one in (file.path.name, file.manifest_path.name)]
        stage.publish(writer.record(decision), *names)
    return [_at(folder.absolute(), file) for file in files]


def _at(folder: Path, file: OnnxExport) -> OnnxExport:
    return replace(file, path=folder / file.path.name, manifest_path=folder / file.manifest_path.name)


@dataclass
class _Writer:
    """Writes the forms of a decision with their manifests."""

    loaded: LoadedNetwork
    made: OnnxExport
    found: Quantised
    pictures: Pictures
    told: dict[str, Any]
    folder: Path
    name: str
    watch: Watch

    @property
    def _rows(self) -> int | None:
        rows = self.made.manifest.inputs[0].shape[0]
        return rows if isinstance(rows, int) else None

    @property
    def _points(self) -> dict[str, str]:
        """Those of the float32 file whose values are still its own, not balanced."""
        return {name: module for name, module in self.made.manifest.points.items() if name not in self.found.balanced}

    def qdq(self, decision: Decision) -> tuple[Path, Subject]:
        """The QDQ file with its manifest, as the gate takes it, and what it is held against."""
        path = self.folder / f"{self.name}.onnx"
        self._write(path, qdq_model(self.found.model, decision), decision, "qdq", "float32")
        return path, Subject(self.loaded.network, self.made.manifest.preprocessing)

    def checked(self, decision: Decision, *, verify: bool, gated: Gated | None) -> OnnxExport:
        """The QDQ file, held against the network and on the calibration pictures against float32."""
        path, subject = self.qdq(decision)
        verdict = None
        if verify:
            with self.watch.working(f"checking {path.name}"):
                bounds, rows = TOLERANCES["int8"], self._rows
                found = subject.check(opener(path, "ort"), bounds, points=self._points, batch_size=rows)
                verdict = Verdict(found.report)
            if not verdict.passed:
                reason = verdict.artifact.reasons()[0]
                raise ParityFailedError(f"{path.name}: {reason}; nothing was written", verdict)
            self.told["agreement"] = check_agreement(path, self.found.model, self.pictures, self._rows, self.watch)
            self.told["answers"] = self._answers(path)
        manifest = self._manifest(path, decision, "qdq", "float32")
        manifest = replace(manifest, parity=None if verdict is None else verdict.to_json())
        manifest.write(manifest_path(path))
        return OnnxExport(path, manifest_path(path), manifest, self.made.report, verdict, gated)

    def deploy(self, decision: Decision, soc: Soc) -> OnnxExport:
        """The deploy form, computed as the chip rounds it."""
        path = self.folder / f"{self.name}-{soc.name}.onnx"
        model = deploy_model(self.found.model, decision)
        self._write(path, model, decision, "deploy", "float16")
        with self.watch.working(f"computing {path.name} in integers"):
            deployed = check_deploy(path, self.found.model, self.pictures, self._rows, soc)
        self.told = {**self.told, "agreement": deployed}
        if "answers" in self.told:
            self.told["answers"] = self._rounded(self.told["answers"], path)
        manifest = self._manifest(path, decision, "deploy", "float16")
        manifest.write(manifest_path(path))
        return OnnxExport(path, manifest_path(path), manifest, self.made.report, None)

    def _answers(self, path: Path) -> dict[str, Any]:
        """Of the QDQ file, and how far they are moved by float32's error."""
        with opener(path, "ort")(()) as runner:
            kept = own_answers(runner, self._rows or 1, self.made.manifest.preprocessing)
        other = path.with_name("jittered.onnx")
        other.write_bytes(jittered(load_model(path)).SerializeToString(deterministic=True))
        return self._rounded(kept, other)

    def _rounded(self, kept: dict[str, Any], path: Path) -> dict[str, Any]:
        with opener(path, "ort")(()) as runner:
            return with_rounding_of(kept, runner, self._rows or 1, self.made.manifest.preprocessing)

    def record(self, decision: Decision) -> str:
        """The record's name, once it is written."""
        path = self.folder / f"{self.name}.record.txt"
        path.write_text(record_text(decision), encoding="utf-8")
        return path.name

    def _write(self, path: Path, model: onnx.ModelProto, decision: Decision, form: str, dtype: _Floating) -> None:
        path.write_bytes(model.SerializeToString(deterministic=True))
        self._manifest(path, decision, form, dtype).write(manifest_path(path))

    def _manifest(self, path: Path, decision: Decision, form: str, dtype: _Floating) -> Manifest:
        whole = self.made.manifest

        def tensors(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
            return tuple(replace(one, dtype=dtype) for one in specs)

        reference = whole.reference
        if reference is not None:
            reference = {**reference, "points": {name: reference["points"][name] for name in self._points}}
        return replace(
            whole,
            artifact=replace(
                whole.artifact,
                dtype="int8",
                files=(ArtifactFile(path.name, sha256_of(path), path.stat().st_size),),
            ),
            inputs=tensors(whole.inputs),
            outputs=tensors(whole.outputs),
            points=self._points,
            checksums=checksums_of(load_model(path)),
            parity=None,
            reference=reference,
            int8={"form": form, "record": f"{self.name}.record.txt", **self.told, **decision.to_json()},
        )
