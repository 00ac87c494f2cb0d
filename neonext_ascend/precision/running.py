"""A file's answers in half precision at the pace of ONNX Runtime: the rounding of each result written into its graph.

What :mod:`neonext_ascend.precision.halved` computes node by node, beside float32 and with every range, is here one
session: the model is the same, and GELU and LayerNorm round their result alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neonext_ascend.precision.groups import Group, find_groups
from neonext_ascend.precision.half import LARGEST, WORDS, Overflow, to_half
from neonext_ascend.precision.modes import ALL, HalfMode
from neonext_ascend.precision.typed import FileTypes
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.ordering import rename_captured
from neonext_ascend.runtimes.ort import session_of
from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.spec import MOVES, TensorSpec

_LOW, _HIGH, _ZERO = "half/low", "half/high", "half/zero"


class HalfRunner(Runner):
    """A file as a chip may compute it in half precision, on the CPU; what it takes and gives is float32.

    Args:
        path: of the ONNX file, in fp32 or fp16.
        overflow: the chip's way.
        mode: what is rounded; products accumulate in fp32.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read or computed.
    """

    def __init__(self, path: Path, overflow: Overflow, mode: HalfMode = ALL) -> None:
        steps = Steps(path)
        self.name = f"{path.name} in half precision"
        self.where = f"half precision simulated on the CPU, each node's result rounded, {WORDS[overflow]}"
        self._session: Any = session_of(half_graph(steps, overflow, mode).SerializeToString(), as_written=True)
        self.inputs, self.outputs = (
            tuple(TensorSpec(value.name, "float32", tuple(value.shape)) for value in values)
            for values in (self._session.get_inputs(), self._session.get_outputs())
        )

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """One ``session.run``."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def half_graph(steps: Steps, overflow: Overflow, mode: HalfMode = ALL) -> ModelProto:
    """The graph in float32 with every rounding to fp16 in it.

    Raises:
        ArtifactError: a node cannot be computed.
    """
    rounding = _Rounding(steps, overflow, mode)
    for step in steps.steps:
        rounding.take(step)
    source = steps.model
    inputs, outputs = (
        [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, _shape(v)) for v in side if v.name in names]
        for side, names in ((source.graph.input, steps.inputs), (source.graph.output, steps.outputs))
    )
    graph = helper.make_graph(rounding.nodes, "half", inputs, outputs, list(rounding.constants.values()))
    model = helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    model.functions.extend(source.functions)
    return model


class _Rounding:
    """The graph in the making, and which of its values fp16 holds."""

    def __init__(self, steps: Steps, overflow: Overflow, mode: HalfMode) -> None:
        self.steps, self.overflow, self.mode = steps, overflow, mode
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.half: set[str] = set()  # values that are rounded already
        self.whole: set[str] = set()  # inside a group, unrounded
        self.groups: dict[int, Group] = {n: group for group in find_groups(steps) for n in group.numbers}
        for name, value in ((_LOW, -LARGEST), (_HIGH, LARGEST), (_ZERO, 0.0)):
            self.constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        self.types, self.floats = FileTypes(steps), set(steps.inputs)
        self._look()
        self.by_types = mode.by_types(self.types.holds_half)

    def _look(self) -> None:
        """Types as they come: what shape inference does not know has one all the same."""
        values: dict[str, Array] = {
            name: np.zeros([n or 1 for n in shape], np.float32) for name, _, shape in self.steps.tensors()
        }
        for step in self.steps.steps:
            fed = [values[name] if name in values else self.steps.needed(name) for name in step.inputs]
            made = self.steps.compute(step, fed)
            self.types.learn(step, fed, made)
            values |= dict(zip(step.outputs, made, strict=True))
            self.floats |= {name for name in step.outputs if values[name].dtype == np.float32}
            self.steps.forget(step, values)

    def take(self, step: Step) -> None:
        """Add a step with its roundings, as :func:`~neonext_ascend.precision.halved.halved` computes it."""
        inputs, results = self.mode.rounds(step.name, step.node.op_type)
        carries = step.node.op_type in MOVES or (step.node.op_type == "Cast" and not self._is_half(step.outputs[0]))
        if self.mode.keep and carries and step.inputs and step.inputs[0] not in self.half:
            inputs = results = False
        wanted = [name for name in step.outputs if results and name in self.floats and self._is_half(name)]
        group = self.groups.get(step.number) if wanted else None
        node = NodeProto()
        node.CopyFrom(step.node)
        names = {name: self._read(name, inputs, group is not None) for name in step.inputs}
        node.input[:] = [names.get(name, "") for name in node.input]
        rename_captured(node, names)
        self.nodes.append(node)
        self.half |= set(wanted)
        if group is not None and group.output not in step.outputs:
            self.whole |= set(wanted)
            return
        node.output[:] = [f"{name}/exact" if name in wanted else name for name in node.output]
        for name in wanted:
            self._round(f"{name}/exact", name)

    def _is_half(self, name: str) -> bool:
        return not self.by_types or name in self.types.half

    def _read(self, name: str, half: bool, grouped: bool) -> str:
        """The value under which a step reads another, which is written where it is not there yet."""
        held = self.steps.constant(name)
        floating = name in self.floats if held is None else held.dtype == np.float32
        rounds = half and floating and name not in self.half and self._is_half(name)
        rounds |= name in self.whole and not grouped
        source = f"{name}/half" if rounds else name
        if held is not None and source not in self.constants:
            value = to_half(held, self.overflow).astype(np.float32) if rounds else held
            self.constants[source] = numpy_helper.from_array(np.asarray(value), source)
        elif held is None and rounds and source not in self.half:
            self._round(name, source)
            self.half.add(source)
        return source

    def _round(self, source: str, target: str) -> None:
        def add(operator: str, inputs: Sequence[str], result: str, **attributes: Any) -> str:
            self.nodes.append(helper.make_node(operator, inputs, [result], f"{result}/{operator}", **attributes))
            return result

        if self.overflow == "saturate":
            lost = add("IsNaN", [source], f"{target}/nan")
            # Clip lets NaN through.
            source = add("Where", [lost, _ZERO, source], f"{target}/number")
            source = add("Clip", [source, _LOW, _HIGH], f"{target}/inside")
        add("Cast", [source], f"{target}/fp16", to=TensorProto.FLOAT16)
        add("Cast", [f"{target}/fp16"], target, to=TensorProto.FLOAT)


def _shape(value: onnx.ValueInfoProto) -> list[int | str | None]:
    return [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
