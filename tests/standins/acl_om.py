"""A loaded OM of the stand-in: what pyACL tells of it, and its numbers, from ONNX Runtime without optimisations."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.standins.om_file import StandinOm

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

GEAR_INPUT = "ascend_mbatch_shape_data"
_NUMPY = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_ACL = {"float32": 0, "float16": 1, "int32": 3, "uint8": 4}


@dataclass(frozen=True)
class Port:
    """An input or output: name, dtype, shape with -1 for the gear."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def acl_dtype(self) -> int:
        return _ACL[self.dtype]

    def dims(self, batch: int | None) -> list[int]:
        return [batch if n == -1 and batch is not None else n for n in self.shape]

    def nbytes(self, batch: int | None) -> int:
        return math.prod(self.dims(batch)) * np.dtype(self.dtype).itemsize


class LoadedOm:
    """One model on the stand-in's device.

    Raises:
        ValueError: it is no OM of the stand-in, or its graph does not load.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.om = StandinOm.read(path)
        options = onnxruntime.SessionOptions()
        # What rounds to fp16 stands in the graph; an optimiser would take it out.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(self.om.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ValueError(f"{path}: {error}") from None
        self.gears = self.om.gears
        self.batch: int | None = max(self.gears, default=None)
        self.inputs = [_port(value) for value in self._session.get_inputs()]
        # ATC gives an output the name of its node, its number there, and the ONNX name.
        self.outputs = [_port(value, f"Node_{i}:0:") for i, value in enumerate(self._session.get_outputs())]
        if bool(self.gears) != any(-1 in port.shape for port in self.inputs):
            raise ValueError(f"{path}: gears {self.gears} with inputs {self.inputs}")
        if self.gears:
            self.inputs.append(Port(GEAR_INPUT, "int32", (1,)))

    @property
    def largest(self) -> int | None:
        """The largest gear."""
        return max(self.gears, default=None)

    def run(self, memory: list[bytes]) -> list[bytes]:
        """The outputs' bytes for the inputs' bytes, both in the current gear."""
        names = [value.name for value in self._session.get_inputs()]
        feeds: dict[str, NDArray[Any]] = {
            name: np.frombuffer(data[: port.nbytes(self.batch)], port.dtype).reshape(port.dims(self.batch))
            for name, port, data in zip(names, self.inputs, memory, strict=False)
        }
        return [value.tobytes() for value in self._session.run(None, feeds)]


def _port(value: Any, prefix: str = "") -> Port:
    return Port(prefix + value.name, _NUMPY[value.type], tuple(n if isinstance(n, int) else -1 for n in value.shape))
