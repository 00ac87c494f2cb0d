"""How an ONNX file is to be, and the network written and checked so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.cost.choice import GraphForm
from neonext_ascend.exporters.onnx_file.building import DEFAULT_OPSET
from neonext_ascend.exporters.onnx_file.export import OnnxArtifact, export_onnx
from neonext_ascend.kernels.lowerings import LoweringRule
from neonext_ascend.models.config import size_text
from neonext_ascend.models.features import Network
from neonext_ascend.passes.base import Report
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.runtimes.registry import opener
from neonext_ascend.spec import LOWERINGS, TOLERANCES, Dtype, GeluForm, LoweringName, judged_as
from neonext_ascend.verify.parity import Checked
from neonext_ascend.verify.subject import Subject


@dataclass(frozen=True)
class FileRequest:
    """How an ONNX file is to be.

    Args:
        form: layout and lowering.
        batch_size: ``None`` for a dynamic batch.
        opset: 11 to 18.
        dtype: of weights, input and output.
        keep_fp32: nodes of an fp16 file that compute in fp32.
        lowerings: of one NeoCell after the other, in place of the form's.
        gelu: how GELU is written.
    """

    form: GraphForm = GraphForm()  # noqa: RUF009 -- frozen
    batch_size: int | None = 1
    opset: int = DEFAULT_OPSET
    dtype: Dtype = "fp32"
    keep_fp32: tuple[str, ...] = ()
    lowerings: tuple[LoweringName, ...] = ()
    gelu: GeluForm = "erf"

    @classmethod
    def of(cls, manifest: Manifest) -> FileRequest:
        """How an artifact's ONNX file was made, as far as its manifest tells."""
        made, rows = manifest.artifact, manifest.inputs[0].shape[0]
        names = manifest.passes.get("lowerings", {}).values()
        return cls(
            form=GraphForm(made.layout),
            batch_size=rows if isinstance(rows, int) else None,
            opset=made.opset,
            dtype="fp32" if made.format == "om" or made.dtype == "int8" else made.dtype,
            keep_fp32=made.keep_fp32,
            lowerings=tuple(name if name in LOWERINGS else "blockdiag" for name in names),
            gelu=made.gelu,
        )

    def lowering(self) -> LoweringName | LoweringRule:
        """For one preparation: a recorded rule is asked for one NeoCell after the other."""
        names = iter(self.lowerings)

        def recorded(*_: object) -> LoweringName:
            return next(names, "blockdiag")

        return recorded if self.lowerings else self.form.lowering

    def name(self, network: Network) -> str:
        """``neonext_t-224-b1-fp32.onnx``, or ``neonext_t-features-224-b1-fp32.onnx``."""
        batch, config = "bdyn" if self.batch_size is None else f"b{self.batch_size}", network.config
        return f"{config.name}{network.form}-{size_text(config.image_size)}-{batch}-{self.dtype}.onnx"

    def emit(
        self, subject: Subject, path: Path, metadata: Mapping[str, str] | None = None
    ) -> tuple[OnnxArtifact, Report]:
        """Prepare a network and write it.

        Raises:
            UsageError, FileAccessError: as of :func:`export_onnx`.
        """
        prepared, report = prepare(subject.network, defer=True, layout=self.form.layout, lowering=self.lowering())
        artifact = export_onnx(
            prepared,
            path,
            batch_size=self.batch_size,
            opset=self.opset,
            dtype=self.dtype,
            keep_fp32=self.keep_fp32,
            gelu=self.gelu,
            outputs=list(subject.network.outputs()),
            metadata=metadata,
        )
        return artifact, report

    def check(self, subject: Subject, artifact: OnnxArtifact) -> Checked:
        """The file in ONNX Runtime against its network."""
        return subject.check(
            opener(artifact.files[0].path, "ort"),
            TOLERANCES[judged_as(self.dtype, self.gelu)],
            batch_size=self.batch_size,
            points=artifact.points,
            layout=self.form.layout,
        )
