"""Write a prepared network as an ONNX file, at exactly the opset that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import fx

from neonext_ascend.artifacts.staging import staged
from neonext_ascend.errors import UsageError
from neonext_ascend.exporters.onnx_file.building import DEFAULT_OPSET, build_model
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.exporters.onnx_file.stream import PROTOBUF_LIMIT, WrittenFile, write_model
from neonext_ascend.models.arguments import file_path, one_of, shown, whole_number
from neonext_ascend.spec import GELUS, NUMPY_DTYPES, Dtype, GeluForm, TensorSpec

# ATC's parser registers standard operators for 8 to 18; below 11 the emitted attributes would differ.
OPSETS = range(11, 19)
_MOST_ROWS = 2**31 - 1


@dataclass(frozen=True)
class OnnxArtifact:
    """What was written.

    Args:
        files: the ONNX file, then its external data if any.
        opset, dtype: as asked for.
        inputs, outputs: name, dtype and shape.
        points: tensor in the file -> module path in the original network whose output it equals.
        checksums: constant in the file -> CRC-32 of its bytes.
    """

    files: tuple[WrittenFile, ...]
    opset: int
    dtype: Dtype
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    points: Mapping[str, str]
    checksums: Mapping[str, str]


def export_onnx(
    network: fx.GraphModule,
    path: str | Path,
    *,
    batch_size: int | None = 1,
    opset: int = DEFAULT_OPSET,
    dtype: Dtype = "fp32",
    keep_fp32: Sequence[str] = (),
    gelu: GeluForm = "erf",
    outputs: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    external_data_above: int = PROTOBUF_LIMIT,
) -> OnnxArtifact:
    """Write ``network`` to ``path``; the same call gives the same bytes.

    Args:
        network: from :func:`neonext_ascend.passes.prepare`.
        path: of the file; it appears whole or not at all.
        batch_size: N of input ``image (N, C, H, W)``; ``None`` for a dynamic batch.
        opset: 11 to 18 (``ai.onnx``).
        dtype: of weights, input and output.
        keep_fp32: names of nodes of an fp16 file that compute in fp32, with a Cast on each side.
        gelu: ``erf``, exact in five nodes; ``tanh``, its tanh form in eight; ``npu``, the vendor's ``NPUGeluV2``.
        outputs: names of the outputs; by default ``logits`` for one tensor, the keys of a dict, else ``output1`` and
            so on.
        metadata: written as ``metadata_props``.
        external_data_above: bytes; a larger file keeps its tensors in ``<name>.data``.

    Raises:
        UsageError: a path, opset, batch size, dtype, names of outputs or metadata that cannot be.
        PassRefusedError: a network that was not prepared, a layer without an ONNX form, or weights without numbers.
        FileAccessError: the file cannot be written.
    """
    path = file_path(path, "path")
    opset = check_opset(opset)
    rows = None if batch_size is None else whole_number(batch_size, "batch size", most=_MOST_ROWS)
    one_of(dtype, NUMPY_DTYPES, "dtype")
    one_of(gelu, GELUS, "gelu")
    external_data_above = whole_number(external_data_above, "external_data_above", least=0)
    metadata = _texts(metadata)
    built = build_model(network, OnnxGraph(opset, dtype, gelu), rows, keep_fp32, outputs, metadata)
    with staged(path.parent) as stage:
        written, checksums = write_model(stage.folder / path.name, built.model, built.initializers, external_data_above)
        stage.publish(*(file.path.name for file in reversed(written)))
    files = tuple(WrittenFile(path.parent / f.path.name, f.nbytes, f.sha256) for f in written)
    return OnnxArtifact(files, opset, dtype, built.inputs, built.outputs, built.points, checksums)


def check_opset(opset: object) -> int:
    """The opset, if it is one that is written.

    Raises:
        UsageError: it is none of :data:`OPSETS`.
    """
    number = whole_number(opset, "opset", least=0)
    if number not in OPSETS:
        raise UsageError(
            f"opset {number}: expected {OPSETS.start} to {OPSETS.stop - 1}, ATC's ONNX parser ends there; "
            f"take {DEFAULT_OPSET}"
        )
    return number


def _texts(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    given: Any = {} if metadata is None else metadata  # what a caller without a type checker may give
    try:
        return {str.encode(name).decode(): str.encode(text).decode() for name, text in given.items()}
    except Exception:  # no mapping, no text, or half a character
        raise UsageError(f"metadata {shown(given)}: expected names and values as text") from None
