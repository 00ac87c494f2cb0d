"""An ONNX graph as a compiler sees it: the batch bound, every shape known, and what does not depend on the input gone.

Shapes come from ONNX's own inference, node by node, with the numbers of small constants at hand; what is computed from
constants and shapes alone is computed here once, by ONNX's reference operators, as a compiler folds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper

from neonext_ascend.artifacts.functions import without_functions
from neonext_ascend.cost.folding import DEFAULT_DOMAINS, Folder, Shape, described, has_body, is_random, numbers_of
from neonext_ascend.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class Tensor:
    """One value of the graph.

    Attributes:
        shape: with the batch bound; ``None`` where it cannot be known.
        floating: whether it holds real numbers, which a chip computes in fp16.
        constant: whether it is the same for every input.
        numbers: of a small constant.
        width: bytes of an element, as the file has it.
    """

    shape: Shape | None
    floating: bool = True
    constant: bool = False
    numbers: NDArray[Any] | None = None
    width: int = 4

    @property
    def size(self) -> int:
        """Elements; 0 where the shape is unknown."""
        return 0 if self.shape is None else prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs for every input; ``attributes`` as Python values."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def standard(self) -> bool:
        """Of the domain ai.onnx."""
        return self.domain in DEFAULT_DOMAINS


class Flow:
    """The nodes that run, in order, and all values.

    Attributes:
        batch: images at once; what the file fixes, or what was bound.
        inputs, outputs: names.
        nodes: without those whose results are constant.
        tensors: every value by name.
        makers, readers: who gives a value, and who reads it.
    """

    def __init__(self, model: ModelProto, batch: int | None = None) -> None:
        """Bind and fold a model.

        Args:
            model: weights may be left out (:func:`~.skim.skim_model`).
            batch: images at once, where the file leaves it free; 1 by default.

        Raises:
            ArtifactError: nodes are not in order, or an axis other than the batch is free.
        """
        model = without_functions(model)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.makers: dict[str, Node] = {}
        self.readers: dict[str, list[Node]] = {}
        self._fold = Folder(model)
        held = {tensor.name for tensor in model.graph.initializer}
        for tensor in model.graph.initializer:
            self._keep_constant(tensor.name, tensor)
        given = [value for value in model.graph.input if value.name not in held]
        self.inputs = tuple(value.name for value in given)
        self.outputs = tuple(value.name for value in model.graph.output)
        self.free = any(_is_free(value) for value in given)
        self.batch = _batch_of(given, batch)
        for value in given:
            self._keep(value.name, _bound(value, self.batch), constant=False)
        for proto in model.graph.node:
            self._add(proto)
        self._drop_dead()

    def shape(self, name: str) -> Shape:
        """Of a value; empty where it is unknown."""
        return self.tensors[name].shape or () if name in self.tensors else ()

    def is_constant(self, name: str) -> bool:
        """Whether it is the same for every input."""
        return name in self.tensors and self.tensors[name].constant

    def variables(self, node: Node) -> list[str]:
        """The inputs of a node that are not constant, each once."""
        return [name for name in dict.fromkeys(node.inputs) if name and not self.is_constant(name)]

    def constants(self, node: Node) -> list[str]:
        """The inputs of a node that are, each once."""
        return [name for name in dict.fromkeys(node.inputs) if name and self.is_constant(name)]

    def _keep(self, name: str, kind: TypeProto | None, constant: bool, numbers: NDArray[Any] | None = None) -> None:
        self._fold.types[name] = kind if kind is not None else TypeProto()
        if numbers is not None:
            self._fold.numbers[name] = numbers
        shape, floating = described(kind)
        self.tensors[name] = Tensor(shape, floating, constant, numbers, _width(kind))

    def _keep_constant(self, name: str, tensor: TensorProto) -> None:
        kind = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        self._keep(name, kind, True, numbers_of(tensor))

    def _add(self, proto: NodeProto) -> None:
        read = [name for name in proto.input if name]
        if missing := [name for name in read if name not in self.tensors]:
            raise ArtifactError(
                f"{proto.op_type} {proto.name or ''} reads {missing[0]!r}, which nothing before it gives"
            )
        constant = all(self.tensors[name].constant for name in read) and not has_body(proto) and not is_random(proto)
        types, numbers = self._fold.outcome(proto)
        for name in filter(None, proto.output):
            known = numbers.get(name)
            self._keep(name, types.get(name), constant or known is not None, known)
        if constant or all(name in numbers for name in proto.output if name):
            return
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
        label = proto.name or next(filter(None, proto.output), proto.op_type)
        node = Node(label, proto.op_type, proto.domain, tuple(proto.input), tuple(proto.output), attributes)
        self.nodes.append(node)
        self.makers.update(dict.fromkeys(filter(None, node.outputs), node))

    def _drop_dead(self) -> None:
        """Forget nodes that no output needs, as those that only a folded shape read."""
        needed = set(self.outputs)
        alive = []
        for node in reversed(self.nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(node.inputs)
                alive.append(node)
        self.nodes = alive[::-1]
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                self.readers.setdefault(name, []).append(node)


def _width(kind: TypeProto | None) -> int:
    """Bytes of an element; 4 where the dtype is unknown, one where it is smaller than a byte."""
    dtype = 0 if kind is None else kind.tensor_type.elem_type
    try:
        return int(helper.tensor_dtype_to_np_dtype(dtype).itemsize)
    except (KeyError, TypeError, ValueError):
        return 4


def _is_free(value: ValueInfoProto) -> bool:
    dims = value.type.tensor_type.shape.dim
    return bool(dims) and not dims[0].HasField("dim_value")


def _batch_of(given: Sequence[ValueInfoProto], asked: int | None) -> int:
    for value in given:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].HasField("dim_value") and dims[0].dim_value > 0:
            return int(dims[0].dim_value)
    return asked or 1


def _bound(value: ValueInfoProto, batch: int) -> TypeProto:
    kind = TypeProto()
    kind.CopyFrom(value.type)
    for index, dim in enumerate(kind.tensor_type.shape.dim):
        if not dim.HasField("dim_value") or dim.dim_value < 0:
            if index:
                raise ArtifactError(f"input {value.name!r}: axis {index} is free; export it with a fixed size")
            dim.dim_value = batch
    return kind
