"""ONNX files as timed calls, each checked before anything is timed.

Two ways to call one: as a user does (``session.run``, the output is a new array), for whole networks; in place (input
and output stay where they are), for single operations, where a new array would cost as much as the computation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from neonext_ascend.runtimes.ort import OrtRunner

Array = NDArray[np.float32]
# Two right programs differ by rounding alone.
TOLERANCE = 1e-4


class Network:
    """A file run as a user runs it."""

    def __init__(self, path: Path, feed: Array, threads: int) -> None:
        self._runner, self._feed = OrtRunner(path, threads=threads), feed
        self._input, self._output = self._runner.inputs[0].name, self._runner.outputs[0].name

    def __call__(self) -> Array:
        """The output."""
        result: Any = self._runner.infer_impl({self._input: self._feed})[self._output]
        output: Array = result
        return output


class InPlace:
    """A file of one input and one output that reads and writes the same memory at every call."""

    def __init__(self, path: Path, feed: Array, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (self._input,), (self._output,) = self._session.get_inputs(), self._session.get_outputs()
        self._feed = np.ascontiguousarray(feed).reshape(self._input.shape)
        self.result: Array = np.zeros(self._output.shape, np.float32)
        self._binding: Any = self._session.io_binding()
        held = onnxruntime.OrtValue.ortvalue_from_numpy(self._feed)
        self._binding.bind_ortvalue_input(self._input.name, held)
        address = self.result.ctypes.data
        self._binding.bind_output(self._output.name, "cpu", 0, np.float32, self.result.shape, address)

    def __call__(self) -> Array:
        """The output, in the same array every time."""
        self._session.run_with_iobinding(self._binding)
        return self.result


def check(name: str, output: Array, reference: Array) -> None:
    """Refuse to go on with a wrong answer.

    Raises:
        SystemExit: the outputs differ by more than rounding.
    """
    error = float(np.abs(output - reference).max() / np.abs(reference).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"{name}: differs by {error:.1e} of its largest value; nothing is timed on wrong numbers")


Call = Callable[[], object]
