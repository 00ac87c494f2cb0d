"""Whether the constants of an ONNX file are those that were exported."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.names import utf8_alias
from neonext_ascend.exporters.onnx_file.stream import checksum


def checksums_of(model: onnx.ModelProto) -> dict[str, str]:
    """Constant -> CRC-32 of its bytes, as a manifest keeps them."""
    return {held.name: checksum(numpy_helper.to_array(held).tobytes()) for held in model.graph.initializer}


def changed_constants(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """Constants whose bytes are not those that were exported; ones that are gone or new are another program's."""

    def differs(constant: TensorProto, expected: str) -> bool:
        try:
            return checksum(numpy_helper.to_array(constant).tobytes()) != expected
        except Exception:  # one that nothing uses loads, whatever onnx finds wrong with it
            return True

    try:
        model = onnx.load(str(path), load_external_data=False)
        with utf8_alias(path.parent) as folder:
            onnx.load_external_data_for_model(model, folder)
        present = {constant.name: constant for constant in model.graph.initializer}
    except Exception:  # onnxruntime has loaded it, but onnx is stricter
        return ()
    return tuple(
        name for name, expected in manifest.checksums.items() if name in present and differs(present[name], expected)
    )
