"""What the rules on a node's form look at: the operator's own schema in ONNX, at the file's opset."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import onnx
from onnx.defs import OpSchema

from neonext_ascend.exporters.atc_rules.checks import Hit, Hits, Subject
from neonext_ascend.exporters.atc_rules.reading import Node

# The kind of an attribute by the field that holds it, where that is not its name; and what holds no value.
_KINDS = {"f": "FLOAT", "i": "INT", "s": "STRING", "t": "TENSOR", "g": "GRAPH", "tp": "TYPE_PROTO"}
_DESCRIPTIONS = ("NAME", "TYPE", "DOC_STRING", "REF_ATTR_NAME")
_TYPED_SINCE = 2  # version of the format


def domain_missing(subject: Subject) -> Hits:
    """Operators of a domain, other than ai.onnx, for which the file names no opset."""
    for node in subject.model.nodes():
        if not node.standard and node.domain not in node.graph.opsets:
            yield Hit(node.label, {"op": node.op, "domain": node.domain})


def operator_form(subject: Subject) -> Hits:
    """Inputs, outputs and attributes that the operator must have."""
    for node, schema in _known(subject):
        for what in _lacks(node, schema):
            yield Hit(node.label, {"op": node.op, "what": what, "opset": schema.since_version})


def attribute_form(subject: Subject) -> Hits:
    """Attributes that hold another kind of value than they say, or do not say one."""
    for node in subject.model.nodes():
        for name, attribute in node.attributes.items():
            said = _kind(attribute.type)
            held = [_KINDS.get(field.name, field.name.upper()) for field, _ in attribute.ListFields()]
            others = sorted({*held} - {said, *_DESCRIPTIONS})
            if not attribute.type and subject.model.proto.ir_version >= _TYPED_SINCE:
                yield Hit(node.label, {"op": node.op, "name": name, "what": "has no type"})
            elif attribute.type and others:
                what = f"says that it is {said}, and holds {' and '.join(others)}"
                yield Hit(node.label, {"op": node.op, "name": name, "what": what})


def attribute_unknown(subject: Subject) -> Hits:
    """Attributes that the operator does not have."""
    for node, schema in _known(subject):
        names = sorted(set(node.attributes) - set(schema.attributes))
        if names:
            yield Hit(node.label, {"op": node.op, "names": ", ".join(names)})


def _known(subject: Subject) -> Iterator[tuple[Node, OpSchema]]:
    """Nodes of ai.onnx that ONNX describes at their opset."""
    for node in subject.model.nodes():
        opset = node.graph.opsets.get("")
        if node.standard and opset is not None and (node.domain, node.op) not in subject.model.functions:
            schema = _schema(node.op, opset)
            if schema is not None:
                yield node, schema


@functools.cache
def _schema(op: str, opset: int) -> OpSchema | None:
    # An operator that came later or has gone is another rule's.
    return onnx.defs.get_schema(op, opset) if onnx.defs.has(op, opset) else None


def _lacks(node: Node, schema: OpSchema) -> Iterator[str]:
    for side, names, formal, least, most in (
        ("input", node.inputs, schema.inputs, schema.min_input, schema.max_input),
        ("output", node.outputs, schema.outputs, schema.min_output, schema.max_output),
    ):
        if not least <= len(names) <= most:
            bounds = f"{least}" if least == most else f"at least {least}" if most >= 2**31 - 1 else f"{least} to {most}"
            yield f"has {len(names)} {side}{'' if len(names) == 1 else 's'}; expected {bounds}"
        for name, parameter in zip(names, formal, strict=False):
            if not name and parameter.option == OpSchema.FormalParameterOption.Single:
                yield f"has no name for its {side} {parameter.name}"
    for name, attribute in schema.attributes.items():
        if attribute.required and name not in node.attributes:
            yield f"has no attribute {name}"
        elif name in node.attributes:
            found, expected = node.attributes[name].type, int(attribute.type)  # type: ignore[call-overload] # an enum of C++
            if found not in (0, expected):  # files of the first version have none
                yield f"has {_kind(found)} in its attribute {name}; expected {_kind(expected)}"


def _kind(number: int) -> str:
    kinds = onnx.AttributeProto.AttributeType
    return kinds.Name(number) if number in kinds.values() else f"type {number}"
