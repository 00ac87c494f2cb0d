"""What each rule of the pre-check looks at: one generator a rule, giving the places and their words."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto

from neonext_ascend.artifacts.tensors import dtype_name
from neonext_ascend.exporters.atc_rules import operators as known
from neonext_ascend.exporters.atc_rules.reading import Model, Node, of_type
from neonext_ascend.exporters.om_file.options import Precision
from neonext_ascend.machine.chips import Soc


@dataclass(frozen=True, slots=True)
class Subject:
    """What is inspected, and for what."""

    model: Model
    soc: Soc
    precision: Precision

    @property
    def opset(self) -> int | None:
        """Of ai.onnx; ``None`` where the file names none."""
        return self.model.main.opsets.get("")


@dataclass(frozen=True, slots=True)
class Hit:
    """One place; ``node`` is ``None`` for the whole file. ``words`` fill the rule's sentences."""

    node: str | None
    words: Mapping[str, object] = field(default_factory=dict)


Hits = Iterator[Hit]


def no_graph(subject: Subject) -> Hits:
    """A model without a graph."""
    if not subject.model.proto.HasField("graph"):
        yield Hit(None)


def no_input(subject: Subject) -> Hits:
    """A graph that takes nothing."""
    if subject.model.proto.HasField("graph") and not subject.model.proto.graph.input:
        yield Hit(None)


def no_output(subject: Subject) -> Hits:
    """A graph that gives nothing."""
    if subject.model.proto.HasField("graph") and not subject.model.proto.graph.output:
        yield Hit(None)


def opset(subject: Subject) -> Hits:
    """The opset of ai.onnx."""
    if subject.opset is not None and subject.opset not in known.OPSETS:
        yield Hit(None, {"opset": subject.opset})


def opset_missing(subject: Subject) -> Hits:
    """Operators of ai.onnx in a file that names no opset for it."""
    if subject.opset is None and any(node.standard for node in subject.model.nodes()):
        yield Hit(None)


@functools.cache
def _since() -> Mapping[str, int]:
    """The opset in which ONNX introduced each operator."""
    since: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            since[schema.name] = min(schema.since_version, since.get(schema.name, schema.since_version))
    return since


def _standard(subject: Subject) -> Iterator[tuple[Node, int]]:
    """Nodes that a plugin must know, each with its opset or the nearest one that ATC takes."""
    functions = subject.model.functions
    for node in subject.model.nodes():
        if node.standard and node.op not in known.PARSED_WITHOUT_PLUGIN and (node.domain, node.op) not in functions:
            version = node.graph.opsets.get("", known.SAFE_OPSET)
            yield node, min(max(version, known.FIRST_OPSET), known.LAST_OPSET)


def operator_opset(subject: Subject) -> Hits:
    """Operators that are registered, at other opsets alone."""
    for node, version in _standard(subject):
        opsets = known.REGISTERED.get(node.op)
        if opsets is not None and version not in opsets:
            yield Hit(node.label, {"op": node.op, "opset": version, "at": known.opsets_in_words(opsets)})


def operator_too_new(subject: Subject) -> Hits:
    """Operators that ONNX itself introduced after the last opset that ATC takes."""
    for node, _ in _standard(subject):
        since = _since().get(node.op, 0)
        if node.op not in known.REGISTERED and node.op not in known.NOT_REGISTERED and since > known.LAST_OPSET:
            yield Hit(node.label, {"op": node.op, "since": since})


def _named(subject: Subject, names: frozenset[str]) -> Hits:
    yield from (Hit(node.label, {"op": node.op}) for node, _ in _standard(subject) if node.op in names)


def gelu(subject: Subject) -> Hits:
    """The operator Gelu, new in opset 20."""
    yield from _named(subject, frozenset({"Gelu"}))


def loops(subject: Subject) -> Hits:
    """Control flow other than If."""
    yield from _named(subject, known.LOOPS)


def onnx_quantised(subject: Subject) -> Hits:
    """QuantizeLinear, DequantizeLinear and ONNX's int8 products."""
    yield from _named(subject, known.ONNX_QUANTISED)


def operator_unknown(subject: Subject) -> Hits:
    """Operators that the list says nothing about."""
    for node, _ in _standard(subject):
        silent = node.op not in known.REGISTERED and node.op not in known.NOT_REGISTERED
        if silent and _since().get(node.op, 0) <= known.LAST_OPSET:
            yield Hit(node.label, {"op": node.op})


def custom_domain(subject: Subject) -> Hits:
    """Operators of other domains than ai.onnx."""
    for node in subject.model.nodes():
        if node.standard or (node.domain, node.op) in subject.model.functions:
            continue
        registered = node.op in known.OTHER_DOMAINS.get(node.domain, ())
        if not (registered and node.graph.opsets.get(node.domain) == 1):
            yield Hit(node.label, {"op": node.op, "domain": node.domain})


def local_function(subject: Subject) -> Hits:
    """Calls of functions that the file itself defines."""
    for node in subject.model.nodes():
        if (node.domain, node.op) in subject.model.functions:
            yield Hit(node.label, {"op": node.op})


def duplicate_name(subject: Subject) -> Hits:
    """Names that two nodes share, or a node and an input (which ATC makes a node)."""
    for graph in subject.model.graphs:
        names = Counter(node.name for node in graph.nodes if node.name)
        if graph is subject.model.main:
            names.update(info.name for info in subject.model.inputs)
        for name, count in names.items():
            if count > 1:
                yield Hit(f"{graph.where}/{name}" if graph.where else name, {"count": count})


# What hicann/ge's onnx_util.cc has a type of its own for.
DTYPES = frozenset({*range(TensorProto.FLOAT, TensorProto.BFLOAT16 + 1), 17, 19, 22})  # fp8 e4m3fn, e5m2, int4


def dtype_unknown(subject: Subject) -> Hits:
    """Inputs that are no tensors, and inputs and constants of a dtype that ATC's parser does not know."""
    for info in subject.model.inputs:
        dtype = of_type(info.type).dtype
        if dtype not in DTYPES:
            kind = (info.type.WhichOneof("value") or "nothing").replace("_type", "")
            yield Hit(info.name, {"what": dtype_name(dtype) if dtype else f"{kind} without a dtype"})
    for graph in subject.model.graphs:
        for name, value in graph.values.items():
            if value.constant and value.dtype and value.dtype not in DTYPES:
                yield Hit(name, {"what": dtype_name(value.dtype)})


def _dynamic(subject: Subject) -> Iterator[tuple[str, list[int]]]:
    """Inputs with symbolic axes."""
    for info in subject.model.inputs:
        axes = [axis for axis, dim in enumerate(of_type(info.type).shape or ()) if isinstance(dim, str)]
        if axes:
            yield info.name, axes


def input_shapeless(subject: Subject) -> Hits:
    """Tensor inputs without a shape."""
    for info in subject.model.inputs:
        if info.type.HasField("tensor_type") and of_type(info.type).shape is None:
            yield Hit(info.name)


def size_not_positive(subject: Subject) -> Hits:
    """Axes of 0 or less."""
    for info in subject.model.inputs:
        shape = of_type(info.type).shape or ()
        if any(isinstance(dim, int) and dim <= 0 for dim in shape):
            yield Hit(info.name, {"shape": ", ".join(map(str, shape))})


def dynamic_batch(subject: Subject) -> Hits:
    """A symbolic first axis."""
    yield from (Hit(name) for name, axes in _dynamic(subject) if 0 in axes)


def _other_axes(subject: Subject) -> Hits:
    for name, axes in _dynamic(subject):
        others = [axis for axis in axes if axis]
        if others:
            word = "axis" if len(others) == 1 else "axes"
            yield Hit(name, {"axes": f"{word} {', '.join(map(str, others))}", "soc": subject.soc.name})


def dynamic_axes(subject: Subject) -> Hits:
    """Symbolic axes behind the first, on a chip that takes ranges."""
    if subject.soc.shape_ranges:
        yield from _other_axes(subject)


def dynamic_axes_without_ranges(subject: Subject) -> Hits:
    """The same on a chip that takes none."""
    if not subject.soc.shape_ranges:
        yield from _other_axes(subject)


def quantised_dynamic(subject: Subject) -> Hits:
    """A quantised model with any symbolic axis."""
    if any(node.standard and node.op in known.QUANTISED for node in subject.model.nodes()):
        yield from (Hit(name) for name, _ in _dynamic(subject))


def shapes_unknown(subject: Subject) -> Hits:
    """A graph whose shapes ONNX cannot infer."""
    if subject.model.inference_error:
        yield Hit(None, {"reason": subject.model.inference_error})
