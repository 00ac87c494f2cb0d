"""What a file holds in half precision by its own types: its inputs, its constants, and what its Casts make of them."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import AttributeProto, NodeProto, TensorProto

from neonext_ascend.runtimes.steps import Array, Step, Steps

_HALF = TensorProto.FLOAT16
_FLOATING = frozenset({_HALF, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BFLOAT16})


class FileTypes:
    """The floating values of a file, as they become known in the order of computation.

    Attributes:
        half: names of those that are fp16.
        fp32: nodes that compute something else, but for Casts.
        holds_half: whether the file knows fp16 at all; an fp32 file leaves it to the compiler.
    """

    def __init__(self, steps: Steps) -> None:
        graph = steps.model.graph
        self._nodes = {name: node for node in graph.node for name in node.output}
        self.half = {held.name for held in graph.initializer if held.data_type == _HALF}
        self.half |= {value.name for value in graph.input if value.type.tensor_type.elem_type == _HALF}
        self.fp32 = set[str]()
        self.holds_half = bool(self.half) or any(_told(node) == _HALF for node in graph.node)

    def learn(self, step: Step, read: Sequence[Array], made: Sequence[Array]) -> None:
        """What a step gives: the dtype that its attributes tell, else that of the first floating value it reads."""
        node = next((self._nodes[name] for name in step.outputs if name in self._nodes), step.node)
        told = _told(node)
        floating = [name for name, value in zip(step.inputs, read, strict=True) if value.dtype.kind == "f"]
        source = floating[-1:] if node.op_type == "CastLike" else floating[:1]
        if told == _HALF or (told is None and self.half.issuperset(source) and source):
            self.half.update(step.outputs)
        elif node.op_type != "Cast" and any(value.dtype.kind == "f" for value in made):
            self.fp32.add(step.name)


def _told(node: NodeProto) -> int | None:
    """The floating dtype that an attribute tells; ``None`` where none does."""
    for attribute in node.attribute:
        kind: int | None = attribute.i if attribute.name in ("to", "dtype") else None
        if attribute.type == AttributeProto.TENSOR:
            kind = attribute.t.data_type
        if attribute.name in ("value_float", "value_floats"):
            kind = TensorProto.FLOAT
        if kind in _FLOATING:
            return kind
    return None
