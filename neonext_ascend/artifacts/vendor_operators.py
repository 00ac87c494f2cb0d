"""The vendor's operators in an ONNX file that no CPU has a kernel for, and what stands in for them.

``npu::NPUGeluV2`` is GELU in one operator (its ONNX plugin in hicann/ops-nn: attribute ``approximate``, ``none`` by
default, or ``tanh``); ONNX Runtime has both forms under names of its own. AscendQuant and AscendDequant are the ends of
an int8 layer (:mod:`~neonext_ascend.artifacts.int8_twins`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT, holds_int8, with_int8_twins

if TYPE_CHECKING:  # a machine that runs an ONNX file of standard operators does without it
    from onnx import GraphProto, ModelProto, NodeProto

DOMAIN, GELU = "npu", "NPUGeluV2"
_IN_INTEGERS = "int8 layers as its integer products"
# What a runtime says that it lacks -> what runs in its place.
TWINS_IN_WORDS: Mapping[str, str] = {GELU: f"{GELU} as its Gelu", QUANT: _IN_INTEGERS, DEQUANT: _IN_INTEGERS}
_TWIN_DOMAIN = "com.microsoft"
_TWINS: Mapping[bytes, str] = {b"none": "Gelu", b"tanh": "FastGelu"}


def with_twins(model: ModelProto) -> ModelProto:
    """The model, changed in place: each vendor operator is ONNX Runtime's of the same mathematics."""
    found = [node for node in _nodes(model.graph) if _is_vendors(node)]
    for node in [one for one in found if one.domain == DOMAIN]:
        form = next((attribute.s for attribute in node.attribute if attribute.name == "approximate"), b"none")
        if form in _TWINS:
            node.op_type, node.domain = _TWINS[form], _TWIN_DOMAIN
            del node.attribute[:]
    used = {node.domain for node in found} & {_TWIN_DOMAIN}
    if used - {entry.domain for entry in model.opset_import}:
        model.opset_import.add(domain=_TWIN_DOMAIN, version=1)
    return with_int8_twins(model) if holds_int8(model) else model


def infer_shapes(model: ModelProto) -> ModelProto:
    """A copy with ONNX's inferred shapes, through the vendor's operators too: they keep the shape.

    The integers inside an int8 layer are told in the dtype of what comes in.
    """
    import onnx.shape_inference

    held = {place: node for place, node in enumerate(_nodes(model.graph)) if _is_vendors(node)}
    if not held:
        return onnx.shape_inference.infer_shapes(model)
    stand_in = onnx.ModelProto.FromString(model.SerializeToString())
    for node in [node for node in _nodes(stand_in.graph) if _is_vendors(node)]:
        node.op_type, node.domain = "Identity", ""
        del node.attribute[:], node.input[1:]
    inferred = onnx.shape_inference.infer_shapes(stand_in)
    for place, node in enumerate(_nodes(inferred.graph)):
        if place in held:
            node.CopyFrom(held[place])
    return inferred


def _is_vendors(node: NodeProto) -> bool:
    return (node.domain, node.op_type) in ((DOMAIN, GELU), ("", QUANT), ("", DEQUANT))


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """All nodes of the graph and of the bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(body)
