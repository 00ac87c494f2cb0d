"""ONNX Runtime, on the CPU or with its CANN provider on an NPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.artifacts.names import utf8_alias, utf8_path
from neonext_ascend.errors import ArtifactError, FileAccessError, NeoNextError, ToolchainError
from neonext_ascend.machine.environment import disable_telemetry
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.onnx_file import check_onnx_file
from neonext_ascend.runtimes.sessions import CPU, EXTERNAL, make_session
from neonext_ascend.spec import TensorSpec

disable_telemetry()

_NUMPY = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_CANN = "CANNExecutionProvider"


class OrtRunner(Runner):
    """An ONNX file in an onnxruntime session.

    Args:
        path: of the ONNX file.
        threads: intra-op threads; 0 lets onnxruntime choose.
        extra_outputs: tensors inside the graph to give out as well.
        provider: ``cpu``, or ``cann`` for the whole graph on an NPU: a session that falls back to the CPU is refused.
        device: number of the NPU.

    Raises:
        FileAccessError: the file or its external data cannot be read.
        ArtifactError: it is no ONNX model that onnxruntime can run, or one without floating inputs and outputs.
        ToolchainError: this onnxruntime has no CANN provider, or it does not run here.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        extra_outputs: Sequence[str] = (),
        provider: Literal["cpu", "cann"] = "cpu",
        device: int = 0,
    ) -> None:
        import onnxruntime

        if provider == "cann":
            _check_cann_build(onnxruntime)
        self.name = f"onnxruntime {path.name}"
        check_onnx_file(path)
        path = with_its_data(path)
        options = _quiet(threads)
        providers: tuple[Any, ...] = (CPU,)
        if provider == "cann":
            providers = ((_CANN, {"device_id": str(device)}),)
            # Single nodes that fall back are refused by onnxruntime itself (onnxruntime_session_options_config_keys.h).
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            self._session: Any
            with _source(path, extra_outputs, options) as source:
                self._session, twins = make_session(source, options, providers)
        except NeoNextError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            if provider == "cann":
                raise ToolchainError(f"{path}: onnxruntime's {_CANN} cannot run it here: {_reason(error)}") from None
            raise _load_error(path, _reason(error)) from None
        self.where = f"ONNX Runtime {onnxruntime.__version__} on the CPU" + (f", {twins}" if twins else "")
        if provider == "cann":
            _check_no_fallback(path, self._session.get_providers())
            self.where = f"ONNX Runtime {onnxruntime.__version__} with {_CANN}, device {device}"
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


def session_of(model: bytes, as_written: bool = False) -> Any:
    """A quiet session on the CPU for a model in memory; onnxruntime raises its own errors.

    Args:
        model: serialized.
        as_written: fuse no node with another, and leave none out.
    """
    import onnxruntime

    options = _quiet()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return make_session(model, options)[0]


def _quiet(threads: int = 0) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised; nothing else belongs on a user's terminal
    onnxruntime.set_default_logger_severity(4)  # likewise what is said outside a session
    return options


def _check_cann_build(onnxruntime: Any) -> None:
    if _CANN not in onnxruntime.get_available_providers():
        raise ToolchainError(
            f"this onnxruntime {onnxruntime.__version__} has no {_CANN}; in an environment of its own install "
            "onnxruntime-cann, which replaces onnxruntime, or take --runtime ort"
        )


def _check_no_fallback(path: Path, used: Sequence[str]) -> None:
    """onnxruntime-cann 1.24.4 lists its provider without CANN, and then runs on the CPU without a word."""
    if not used or used[0] != _CANN:
        raise ToolchainError(
            f"{path}: asked for {_CANN}, but onnxruntime fell back to {', '.join(used) or 'nothing'}: CANN or its "
            "device is missing; source CANN's set_env.sh, see neonext-ascend doctor, or take --runtime ort"
        )


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


@contextlib.contextmanager
def _source(path: Path, extra_outputs: Sequence[str], options: Any) -> Iterator[str | bytes]:
    """What a session is made from: the path, or where it will not do the model's bytes and its folder's path."""
    name = utf8_path(path)
    if name is not None and not extra_outputs:
        yield name
        return
    with utf8_alias(path.parent) as folder:
        options.add_session_config_entry(EXTERNAL, folder)
        yield _with_outputs(path, extra_outputs) if extra_outputs else path.read_bytes()


def _with_outputs(path: Path, names: Sequence[str]) -> bytes:
    """The model with further outputs; loaded with onnx, since onnxruntime cannot add any."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
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
    # A message with a path of other bytes than UTF-8 does not come through as text.
    said = error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)
    text = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return text.rsplit("] : ", 1)[-1][:300] or type(error).__name__
