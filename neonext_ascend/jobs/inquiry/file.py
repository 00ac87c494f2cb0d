"""What an artifact is by its files alone: form, tensors, sizes and digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neonext_ascend.artifacts.finding import beside, external_data
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.staging import sha256_of


def file_facts(path: Path, manifest: Manifest | None) -> dict[str, Any]:
    """As the manifest tells it; of an ONNX file without one as the file does.

    Raises:
        FileAccessError, ArtifactError: it cannot be read, or is no ONNX model.
    """
    if manifest is not None:
        told = manifest.to_json()
        made = {name: told["artifact"][name] for name in ("format", "opset", "files")}
        return {**made, "nodes": None, "written_by": told["tool"], "inputs": told["inputs"], "outputs": told["outputs"]}
    import onnx

    from neonext_ascend.artifacts.skim import skim_model

    model = skim_model(path)
    graph, held = model.graph, {tensor.name for tensor in model.graph.initializer}
    files = [path, *(beside(path, name) for name in sorted(external_data(path)))]
    return {
        "format": "onnx",
        "opset": next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), None),
        "files": [{"name": file.name, "sha256": sha256_of(file), "bytes": file.stat().st_size} for file in files],
        "nodes": len(graph.node),
        "written_by": f"{model.producer_name} {model.producer_version}".strip() or None,
        "inputs": [_tensor(value, onnx) for value in graph.input if value.name not in held],
        "outputs": [_tensor(value, onnx) for value in graph.output],
    }


def _tensor(value: Any, onnx: Any) -> dict[str, Any]:
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.helper.get_all_tensor_dtypes()
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if known else "unknown"
    return {"name": value.name, "dtype": dtype, "shape": [d.dim_value or d.dim_param or "?" for d in tensor.shape.dim]}
