"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.environment import disable_telemetry
from neonext_ascend.errors import ArtifactError, FileAccessError
from neonext_ascend.runtimes.base import Arrays, Runner
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
        ArtifactError: it is no ONNX model that onnxruntime can run.
    """

    def __init__(self, path: Path, threads: int = 0, extra_outputs: Sequence[str] = ()) -> None:
        import onnxruntime

        self.name = f"onnxruntime {path.name}"
        _check(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is raised; nothing else belongs on a user's terminal
        source: str | bytes = str(path)
        if extra_outputs:
            source = _with_outputs(path, extra_outputs)
        try:
            self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ArtifactError(f"{path}: onnxruntime cannot load it: {_reason(error)}") from None
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One ``session.run``."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise FileAccessError(f"{path}: the file is empty; expected an ONNX model; export it again")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot read the model: {error.strerror}") from None


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    """The model with further outputs; loaded with onnx, since onnxruntime cannot add any."""
    import onnx

    model = onnx.load(str(path))
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
    text = " ".join(str(error).split())
    return text.rsplit("] : ", 1)[-1][:300] or type(error).__name__
