"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.environment import disable_telemetry
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.onnx_file import check_onnx_file
from neonext_ascend.spec import TensorSpec

disable_telemetry()

_NUMPY = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


class OrtRunner(Runner):
    """An ONNX file in an onnxruntime session.

    Args:
        path: of the ONNX file.
        threads: intra-op threads; 0 lets onnxruntime choose.
        extra_outputs: tensors inside the graph to give out as well.

    Raises:
        FileAccessError: the file or its external data cannot be read.
        ArtifactError: it is no ONNX model that onnxruntime can run, or one without floating inputs and outputs.
    """

    def __init__(self, path: Path, threads: int = 0, extra_outputs: Sequence[str] = ()) -> None:
        import onnxruntime

        self.name = f"onnxruntime {path.name}"
        check_onnx_file(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is raised; nothing else belongs on a user's terminal
        onnxruntime.set_default_logger_severity(4)  # likewise what is said outside a session
        source: str | bytes = str(path)
        if extra_outputs:
            source = _with_outputs(path, extra_outputs)
        try:
            self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise _load_error(path, _reason(error)) from None
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        if not (self.inputs and self.outputs and all(spec.shape for spec in self.inputs)):
            raise ArtifactError(f"{path}: expected a model with inputs of known shape and outputs")
        for spec in (*self.inputs, *self.outputs):
            if spec.dtype not in _NUMPY.values():
                raise ArtifactError(f"{path}: {spec.name} is {spec.dtype}; expected floating-point tensors")

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One ``session.run``.

        Raises:
            ArtifactError: onnxruntime refuses to run the model.
        """
        names = [spec.name for spec in self.outputs]
        try:
            values = self._session.run(names, dict(feeds))
        except MemoryError:
            raise
        except Exception as error:
            raise ArtifactError(f"{self.name}: onnxruntime cannot run it: {_reason(error)}") from None
        return dict(zip(names, values, strict=True))

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _load_error(path: Path, reason: str) -> NeoNextError:
    """What onnxruntime said, in the words of this project where it is known."""
    if "xternal" in reason:
        if "does not exist" in reason:
            return FileAccessError(
                f"{path}: its external data {path.name}.data is missing; keep it beside the ONNX file"
            )
        if "escapes" in reason:
            return ArtifactError(f"{path}: its external data points outside its folder; take the file from its maker")
        if "out of bounds" in reason:
            return FileAccessError(f"{path}: its external data is truncated; copy it again")
    return ArtifactError(f"{path}: onnxruntime cannot load it: {reason}")


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    """The model with further outputs; loaded with onnx, since onnxruntime cannot add any."""
    import onnx

    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's and onnx's own, and what decoding a damaged name raises
        raise ArtifactError(f"{path}: onnx cannot load it: {_reason(error)}") from None
    present = {name for node in model.graph.node for name in node.output}
    declared = {value.name for value in model.graph.output}
    for name in names:
        if name not in present:
            raise ArtifactError(f"{path}: holds no tensor {name!r}; it is not the file that its manifest describes")
        if name not in declared:
            model.graph.output.add(name=name)
    serialized: bytes = model.SerializeToString()
    return serialized


def _spec(value: Any) -> TensorSpec:
    shape = tuple(d if isinstance(d, int) else str(d or "?") for d in value.shape)
    return TensorSpec(value.name, _NUMPY.get(value.type, str(value.type)), shape)


def _reason(error: Exception) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return text.rsplit("] : ", 1)[-1][:300] or type(error).__name__
