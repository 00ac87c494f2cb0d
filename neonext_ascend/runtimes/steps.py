"""An ONNX file computed node by node, so that every value can be seen and changed on its way.

Each node is a session of its own in ONNX Runtime, so that nothing is fused; half precision is computed in float32,
for the CPU's kernels would do so anyway: who wants it rounded, rounds what a node gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from neonext_ascend.artifacts.int8_twins import holds_int8, is_quantised, with_int8_twins
from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.errors import ArtifactError, counted
from neonext_ascend.machine.environment import disable_telemetry
from neonext_ascend.runtimes.ordering import captured, ordered, rename_captured
from neonext_ascend.runtimes.sessions import make_session
from neonext_ascend.runtimes.widening import HALVES, wide, widened

disable_telemetry()

Array = NDArray[np.generic]
Int8Form = Literal["", "qdq", "deploy"]
# A constant up to this size stands in the node's own model: some operators want it there.
_SMALL = 1024


class Step:
    """One node.

    Attributes:
        number: its place in the order of computation.
        node: with half precision turned into float32.
        name: its own, where it has one that nothing else bears; else its first output's, which is nobody else's.
        inputs: every value that it reads, those of sub-graphs from outside included; none twice.
    """

    def __init__(self, number: int, node: NodeProto, named: bool) -> None:
        self.number, self.node = number, wide(node)
        self.outputs = [name for name in node.output if name]
        self.name = node.name if named else next(iter(self.outputs), f"{node.op_type}_{number}")
        self.inputs = list(dict.fromkeys([*filter(None, node.input), *captured(node)]))

    @property
    def op(self) -> str:
        """Its operator."""
        return self.node.op_type


class Steps:
    """A whole ONNX file.

    Args:
        model: the file, or the model itself.
        threads: of the CPU, for each node: every session has threads of its own, and more than one wait for each other.

    Attributes:
        int8: the form in which it holds int8; empty where it holds none.

    Raises:
        FileAccessError: it, or its external data, cannot be read.
        ArtifactError: it is no model, a constant is damaged, or its nodes cannot be ordered.
    """

    def __init__(self, model: Path | ModelProto, threads: int = 1) -> None:
        self._model = load_model(model) if isinstance(model, Path) else model
        deployed = holds_int8(self._model)
        if deployed:
            self._model = with_int8_twins(ModelProto.FromString(self._model.SerializeToString()))
        self._threads = threads
        graph = self._model.graph
        self._held = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in self._held]
        self.outputs = [value.name for value in graph.output]
        self._where = f"{model}: " if isinstance(model, Path) else ""
        nodes = ordered(graph, self._where)
        times, results = Counter(node.name for node in nodes), {name for node in nodes for name in node.output}
        self.steps = [
            Step(number, node, bool(node.name) and times[node.name] == 1 and node.name not in results - {*node.output})
            for number, node in enumerate(nodes)
        ]
        quantised = any(is_quantised(step.op) for step in self.steps)
        self.int8: Int8Form = "deploy" if deployed else "qdq" if quantised else ""
        self._last = {name: step.number for step in self.steps for name in step.inputs}
        self._last |= dict.fromkeys(self.outputs, len(self.steps))

    @property
    def model(self) -> ModelProto:
        """As it was read, half precision included; the vendor's int8 operators in those of ONNX Runtime."""
        return self._model

    @property
    def opsets(self) -> Sequence[onnx.OperatorSetIdProto]:
        """The operator sets that the file imports."""
        return list(self._model.opset_import)

    @property
    def ir_version(self) -> int:
        """Of the file's format."""
        return self._model.ir_version

    @property
    def half(self) -> bool:
        """Whether the file holds half precision, which is computed in float32 here."""
        kinds = {tensor.data_type for tensor in self._held.values()}
        kinds |= {value.type.tensor_type.elem_type for value in self._model.graph.input}
        return not kinds.isdisjoint(HALVES)

    @cached_property
    def makers(self) -> dict[str, Step]:
        """The node that makes each value."""
        return {name: step for step in self.steps for name in step.outputs}

    @cached_property
    def readers(self) -> dict[str, list[Step]]:
        """The nodes that read each value or constant, in their order; absent where none does."""
        readers: dict[str, list[Step]] = {}
        for step in self.steps:
            for name in step.inputs:
                readers.setdefault(name, []).append(step)
        return readers

    def tensors(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Name, dtype (numpy's name) and shape of each input; a free dimension is 0."""
        for value in self._model.graph.input:
            if value.name in self.inputs:
                tensor = value.type.tensor_type
                known = tensor.elem_type in helper.get_all_tensor_dtypes()
                dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if known else "of no dtype"
                yield value.name, dtype, tuple(dim.dim_value for dim in tensor.shape.dim)

    def ends(self) -> tuple[str, str]:
        """The one input and the first output.

        Raises:
            ArtifactError: there are several inputs or none, or no node computes the output.
        """
        if len(self.inputs) != 1:
            raise ArtifactError(f"{self._where}it has {counted(len(self.inputs), 'input')}; expected one")
        result = next(iter(self.outputs), "")
        if not any(result in step.outputs for step in self.steps):
            raise ArtifactError(f"{self._where}its output {result!r} is not computed by a node; expected one that is")
        return self.inputs[0], result

    def constant(self, name: str) -> Array | None:
        """An initializer's value, ``None`` where the name is no initializer's."""
        return None if name not in self._held else widened(numpy_helper.to_array(self._held[name]))

    def iterate(self, feeds: Mapping[str, Array]) -> Iterator[tuple[Step, dict[str, Array]]]:
        """Compute all nodes in order; behind each, the values that are alive: a value is dropped behind its last use.

        Args:
            feeds: every input by name.

        Raises:
            ArtifactError: onnxruntime cannot compute a node.
        """
        values = {name: widened(np.asarray(feeds[name])) for name in self.inputs}
        for step in self.steps:
            made = self.compute(step, [values[n] if n in values else self.needed(n) for n in step.inputs])
            values |= dict(zip(step.outputs, made, strict=True))
            yield step, values
            self.forget(step, values)

    def forget(self, step: Step, values: dict[str, Array]) -> None:
        """Drop what nothing reads behind this step."""
        for name in (*step.inputs, *step.outputs):
            if self._last.get(name, -1) <= step.number:
                values.pop(name, None)

    def needed(self, name: str) -> Array:
        """An initializer's value.

        Raises:
            ArtifactError: there is none of that name.
        """
        held = self.constant(name)
        if held is None:
            raise ArtifactError(f"{name}: no node, input or constant gives it")
        return held

    def compute(self, step: Step, inputs: Sequence[Array]) -> list[Array]:
        """One node on these values of :attr:`Step.inputs`.

        Raises:
            ArtifactError: onnxruntime cannot compute it.
        """
        try:
            session = self._session(step, inputs)
            wanted = {value.name for value in session.get_inputs()}
            fed = {f"i{number}": value for number, value in enumerate(inputs) if f"i{number}" in wanted}
            made: list[object] = session.run(None, fed)
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            reason = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"{step.name} ({step.node.op_type}): onnxruntime cannot compute it: {reason}") from None
        # What is no array is an optional, a sequence or a map.
        arrays = [value for value in made if isinstance(value, np.ndarray)]
        if len(arrays) < len(made):
            raise ArtifactError(f"{step.name} ({step.node.op_type}): gives something else than tensors")
        return arrays

    def _session(self, step: Step, inputs: Sequence[Array]) -> Any:
        """A model of this node alone; nodes that differ by their names alone share one."""
        node, names = NodeProto(), {name: f"i{number}" for number, name in enumerate(step.inputs)}
        node.CopyFrom(step.node)
        node.name = "node"
        node.input[:] = [names.get(name, "") for name in node.input]
        node.output[:] = [f"o{step.outputs.index(name)}" if name else "" for name in node.output]
        rename_captured(node, names)
        constants, values = [], []
        for name, value in zip(step.inputs, inputs, strict=True):
            # Shapes, axes and the like stand in the model: some operators want them there.
            if name in self._held and value.nbytes <= _SMALL and value.dtype != np.float32:
                constants.append(numpy_helper.from_array(np.asarray(value), names[name]))
            else:
                values.append(_value_info(names[name], value))
        results = [onnx.ValueInfoProto(name=f"o{number}") for number in range(len(step.outputs))]
        graph = helper.make_graph([node], "step", values, results, constants)
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        model.functions.extend(self._model.functions)
        return _open(model.SerializeToString(deterministic=True), self._threads)


@lru_cache(maxsize=512)
def _open(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # each node has threads of its own
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return make_session(model, options)[0]


def _value_info(name: str, value: Array) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, kind, [None] * value.ndim)
