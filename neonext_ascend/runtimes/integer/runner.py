"""The deploy form run: int8 layers in exact integers, whatever stands between them as somebody else computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT
from neonext_ascend.artifacts.tensors import load_model
from neonext_ascend.artifacts.vendor_operators import infer_shapes
from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.base import Arrays, Runner
from neonext_ascend.runtimes.integer import arithmetic
from neonext_ascend.runtimes.ordering import ordered
from neonext_ascend.runtimes.ort import session_of
from neonext_ascend.spec import TensorSpec

Array = NDArray[Any]
_FP16 = 1  # AscendDequant's dtype


class IntegerRunner(Runner):
    """A deploy form on the CPU; what it takes and gives is float32.

    Args:
        path: of the ONNX file.
        between: what makes a float32 model of the nodes between the int8 layers, given as a model with fp16 values;
            such as :func:`~neonext_ascend.precision.running.half_graph`.
        where: what that is, in words.

    Raises:
        FileAccessError, ArtifactError: the file cannot be read, or holds no int8 layer of this form.
    """

    def __init__(self, path: Path, between: Callable[[ModelProto], ModelProto], where: str) -> None:
        model = load_model(path)
        self.name, self.where = f"{path.name} in integers", f"exact integers in numpy, between them {where}"
        self._held = {tensor.name: tensor for tensor in model.graph.initializer}
        self._parts = _Parts(model, self._held)
        if not any(isinstance(part, NodeProto) for part in self._parts.parts):
            raise ArtifactError(f"{path}: has no {QUANT}; expected the deploy form, NAME-int8-SOC.onnx")
        self._sessions = {
            number: session_of(between(part).SerializeToString(), as_written=True)
            for number, part in enumerate(self._parts.parts)
            if isinstance(part, ModelProto)
        }
        self.inputs, self.outputs = (
            tuple(
                TensorSpec(
                    one.name,
                    "float32",
                    tuple(d.dim_value or d.dim_param or "?" for d in one.type.tensor_type.shape.dim),
                )
                for one in values
                if one.name not in self._held
            )
            for values in (model.graph.input, model.graph.output)
        )

    def infer_impl(self, feeds: Arrays) -> dict[str, NDArray[np.generic]]:
        """Part by part."""
        return {spec.name: value for spec in self.outputs for value in [self.values(feeds)[spec.name]]}

    def values(self, feeds: Arrays) -> dict[str, Array]:
        """Every value that a part gives, integers included."""
        with np.errstate(over="ignore"):
            known: dict[str, Array] = {
                name: value.astype(np.float16).astype(np.float32) for name, value in feeds.items()
            }
        for number, part in enumerate(self._parts.parts):
            if isinstance(part, ModelProto):
                names = [value.name for value in part.graph.output]
                fed = {value.name: known[value.name] for value in part.graph.input}
                known |= dict(zip(names, self._sessions[number].run(names, fed), strict=True))
            else:
                known[part.output[0]] = self.computed(part, known)
        return known

    def close(self) -> None:
        """Drop the sessions."""
        self._sessions = {}

    def computed(self, node: NodeProto, known: Mapping[str, Array]) -> Array:
        """What a node of an int8 layer gives: int8, int32, or fp16 in float32."""
        told: dict[str, Any] = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        first, *others = (known[n] if n in known else numpy_helper.to_array(self._held[n]) for n in node.input if n)
        if node.op_type == QUANT:
            return arithmetic.quantise(first, told.get("scale", 0.0), told.get("offset", 0.0))
        if node.op_type == DEQUANT:
            if told.get("dtype") != _FP16:
                raise ArtifactError(f"{node.name}: gives dtype {told.get('dtype')}; expected {_FP16}, fp16")
            channel = 1 if self._parts.of_conv(node) else -1
            return arithmetic.dequantise(first, others[0], channel).astype(np.float32)
        if node.op_type == "Add":
            return arithmetic.add(first, others[0])
        if node.op_type == "Conv":
            strides, dilations = told.get("strides", [1, 1]), told.get("dilations", [1, 1])
            pads = arithmetic.pads_of(told, first.shape[2:], others[0].shape[2:], strides)
            sums = arithmetic.convolution(first, others[0], strides, pads, dilations, told.get("group", 1))
            bias = [one.reshape(1, -1, 1, 1) for one in others[1:]]
        else:
            right = others[0].T if node.op_type == "Gemm" and told.get("transB") else others[0]
            sums, bias = arithmetic.product(first, right), others[1:]
        return arithmetic.add(sums, bias[0]) if bias else sums


class _Parts:
    """A graph cut at its int8 layers: their nodes one by one, and models of what stands between, in an order."""

    def __init__(self, model: ModelProto, held: Mapping[str, TensorProto]) -> None:
        self._model, self._held = model, held
        inferred = infer_shapes(model).graph
        self._shapes = {one.name: one for one in (*inferred.value_info, *inferred.input, *inferred.output)}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self.parts: list[NodeProto | ModelProto] = []
        integer, levels, lots = set[str](), dict[str, int](), dict[int, tuple[list[NodeProto], list[NodeProto]]]()
        for node in ordered(model.graph, ""):
            exact = node.op_type in (QUANT, DEQUANT) or any(name in integer for name in node.input)
            level = max((levels.get(name, 0) for name in node.input), default=0)
            if exact and node.op_type != DEQUANT:
                integer.update(node.output)
            # Integers of a level come behind its floats; what they give belongs to the next.
            lots.setdefault(level, ([], []))[exact].append(node)
            levels |= dict.fromkeys(node.output, level + (node.op_type == DEQUANT))
        for level in sorted(lots):
            floats, exact_ones = lots[level]
            if floats:
                self.parts.append(self._between(floats))
            self.parts += exact_ones

    def of_conv(self, node: NodeProto) -> bool:
        """Whether an AscendDequant stands behind a Conv."""
        maker = self._makers.get(node.input[0])
        return maker is not None and maker.op_type == "Conv"

    def _between(self, nodes: list[NodeProto]) -> ModelProto:
        """Nodes as a model: what they read from elsewhere comes in, what others read goes out."""
        graph, inside = self._model.graph, {name for node in nodes for name in node.output}
        read = {name for node in nodes for name in node.input if name}
        mine = {node.output[0] for node in nodes}
        outer = {name for node in graph.node if node.output[0] not in mine for name in node.input}
        outer |= {value.name for value in graph.output}
        made = helper.make_graph(
            nodes,
            "between",
            [self._shapes[name] for name in sorted(read - inside - set(self._held))],
            [self._shapes[name] for name in sorted(inside & outer)],
            [self._held[name] for name in sorted(read & set(self._held))],
        )
        opsets, version = self._model.opset_import, self._model.ir_version
        return helper.make_model(made, opset_imports=opsets, ir_version=version)
