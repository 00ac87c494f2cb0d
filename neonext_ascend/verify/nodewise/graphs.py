"""Two ONNX graphs node by node: what was matched, which node makes the first error, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto, TensorProto, helper

from neonext_ascend.errors import ArtifactError, counted
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.verify.causes.explaining import explain
from neonext_ascend.verify.nodewise.fingerprints import labels
from neonext_ascend.verify.nodewise.matching import Matched, match
from neonext_ascend.verify.nodewise.neighbours import Shapes
from neonext_ascend.verify.nodewise.nodes import MADE_FP32, Compared, compare_nodes, values_of
from neonext_ascend.verify.nodewise.pair import Cause, Pair
from neonext_ascend.verify.reference import Reference

if TYPE_CHECKING:  # it loads PyTorch, which two files do without
    from neonext_ascend.verify.layers import Layers

_SHAPE = 64  # numbers of a constant that may be a shape


@dataclass(frozen=True)
class Departure:
    """How two computations of one network depart.

    Args:
        matched: their values.
        compared: their nodes and outputs.
        bound: of a node's own error.
        allowed: error of an output that counts as the same; none where every constant has to be the same.
        cause: of the first, where the other computation is a graph too; ``None`` where no node makes one.
    """

    matched: Matched
    compared: Compared
    bound: float
    allowed: float
    cause: Cause | None = None


def compare_graphs(
    steps: Steps, theirs: Steps, feeds: Mapping[str, Array], bound: float = MADE_FP32, layers: Layers | None = None
) -> Departure:
    """Compare a graph with a right one on the same inputs: of the same names, or else in their order.

    Args:
        steps, theirs: the two.
        feeds: every input of the first by name.
        bound: of a node's own error.
        layers: of the network that both were made from; their constants must then agree to the last bit or so.

    Raises:
        ArtifactError: they have different numbers of inputs, or a node cannot be computed.
    """
    inputs = paired(steps.inputs, theirs.inputs)
    if len(theirs.inputs) != len(steps.inputs):
        ours, others = counted(len(steps.inputs), "input"), len(theirs.inputs)
        raise ArtifactError(f"one has {ours}, the other {others}; expected as many")
    fed = {other: _taken(theirs, other, name, feeds[name]) for name, other in inputs.items()}
    matched = match(steps, theirs, shapes_of(steps, feeds), shapes_of(theirs, fed))
    pair = Pair(steps, theirs, {**inputs, **matched.pairs}, layers)
    suspects = {
        step.name
        for step in steps.steps
        if layers is not None
        and (other := pair.counterpart(step)) is not None
        and other.node.op_type == step.node.op_type
        and next(pair.changed(step, other), None) is not None
    }
    reference = Reference(values_of(theirs, fed), matched.pairs, paired(steps.outputs, theirs.outputs))
    found = compare_nodes(steps, feeds, reference, bound, suspects)
    allowed = bound if layers is None else 0.0
    return Departure(matched, found, bound, allowed, None if found.fault is None else explain(found.fault, pair))


def _taken(theirs: Steps, other: str, name: str, value: Array) -> Array:
    """What the first graph's input is fed, as the second's takes it."""
    dtype, shape = next((dtype, shape) for known, dtype, shape in theirs.tensors() if known == other)
    if len(shape) != value.ndim or any(want not in (0, got) for want, got in zip(shape, value.shape, strict=True)):
        held, wanted = ("x".join(str(length or "any") for length in sizes) for sizes in (value.shape, shape))
        raise ArtifactError(f"input {name} is {held} in one and {other} {wanted} in the other; expected the same shape")
    return value.astype("float64" if dtype == "float64" else "float32") if value.dtype.kind == "f" else value


def paired(first: list[str], second: list[str]) -> dict[str, str]:
    """The inputs, or the outputs, of two graphs: by name where they have the same, else by their order."""
    ours, theirs = labels(first, second)
    there = {label: name for name, label in theirs.items()}
    return {name: there[label] for name, label in ours.items() if label in there}


def shapes_of(steps: Steps, feeds: Mapping[str, Array]) -> Shapes:
    """Shapes of the values, as far as they are known before anything is computed."""
    model, given = ModelProto(), steps.model
    for field in ("opset_import", "functions"):
        getattr(model, field).extend(getattr(given, field))
    model.ir_version = given.ir_version
    for field in ("node", "input", "output"):
        getattr(model.graph, field).extend(getattr(given.graph, field))
    for tensor in given.graph.initializer:
        # Small ones may be shapes; of the others their own shape is enough.
        if math.prod(tensor.dims) <= _SHAPE:
            model.graph.initializer.append(tensor)
        elif not any(value.name == tensor.name for value in given.graph.input):
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in model.graph.input:
        if value.name in feeds:
            value.CopyFrom(
                helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, feeds[value.name].shape)
            )
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # onnx's own, of a model that is too large or that it does not understand
        return {}
    known = (
        (value.name, value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type != TensorProto.UNDEFINED
    )
    return {
        name: tuple(dim.dim_value for dim in dims)
        for name, dims in known
        if all(dim.HasField("dim_value") for dim in dims)
    }
