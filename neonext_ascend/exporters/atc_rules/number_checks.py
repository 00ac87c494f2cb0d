"""What the rules on products, dtypes, forms of Gelu and constants look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import TensorProto

from neonext_ascend.artifacts.finding import with_its_data
from neonext_ascend.artifacts.tensors import fault_of, is_external, place_of, tensors
from neonext_ascend.artifacts.vendor_operators import DOMAIN, GELU
from neonext_ascend.errors import NeoNextError
from neonext_ascend.exporters.atc_rules.checks import DTYPES, Hit, Hits, Subject
from neonext_ascend.exporters.atc_rules.reading import Node
from neonext_ascend.machine.chips import CubeDtype

# What the cube unit multiplies, by ONNX's dtype.
_CUBE_DTYPES: Mapping[int, CubeDtype] = {TensorProto.FLOAT: "fp32", TensorProto.BFLOAT16: "bf16"}
_PRODUCTS = frozenset({"BatchMatMul", "Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
_MATMUL_RANKS, _CONV_RANKS = range(2, 7), range(3, 6)


def _ranks(subject: Subject, op: str, operands: tuple[int, ...], ranks: range) -> Hits:
    for node in subject.model.nodes():
        if node.standard and node.op == op:
            wrong = [rank for i in operands if (rank := node.value(i).rank) is not None and rank not in ranks]
            if wrong:
                yield Hit(node.label, {"rank": wrong[0]})


def matmul_rank(subject: Subject) -> Hits:
    """Operands of MatMul."""
    yield from _ranks(subject, "MatMul", (0, 1), _MATMUL_RANKS)


def conv_rank(subject: Subject) -> Hits:
    """The map that Conv reads."""
    yield from _ranks(subject, "Conv", (0,), _CONV_RANKS)


def _foreign_products(subject: Subject) -> Iterator[tuple[Node, CubeDtype]]:
    """Products in a dtype that the chip's cube unit does not multiply."""
    for node in subject.model.nodes():
        if node.standard and node.op in _PRODUCTS:
            for index in range(len(node.inputs)):
                dtype = _CUBE_DTYPES.get(node.value(index).dtype)
                if dtype is not None and dtype not in subject.soc.cube_dtypes:
                    yield node, dtype
                    break


def _cube(subject: Subject) -> Hits:
    for node, dtype in _foreign_products(subject):
        has = " and ".join(sorted(subject.soc.cube_dtypes))
        words = {"op": node.op, "dtype": dtype, "soc": subject.soc.name, "has": has, "precision": subject.precision}
        yield Hit(node.label, words)


def cube_dtype(subject: Subject) -> Hits:
    """Products that the cube unit computes in a smaller dtype than the file's."""
    if subject.precision != "origin":
        yield from _cube(subject)


def cube_dtype_origin(subject: Subject) -> Hits:
    """The same where the file's dtype is to be kept."""
    if subject.precision == "origin":
        yield from _cube(subject)


def silent_half(subject: Subject) -> Hits:
    """A float32 file compiled to fp16, where no product says so already."""
    values = (value for graph in subject.model.graphs for value in graph.values.values())
    single = any(value.dtype == TensorProto.FLOAT for value in values)
    if subject.precision == "fp16" and single and next(_foreign_products(subject), None) is None:
        yield Hit(None)


def erf_gelu(subject: Subject) -> Hits:
    """Erf with something added to it: the exact form of Gelu."""
    for node in subject.model.nodes():
        if node.standard and node.op == "Erf" and _added_to(node):
            yield Hit(node.label, {"soc": subject.soc.name})


def npu_gelu(subject: Subject) -> Hits:
    """The vendor's GELU in one operator, on another chip than a 910B."""
    for node in subject.model.nodes():
        if (node.domain, node.op) == (DOMAIN, GELU) and subject.soc.family != "910B":
            yield Hit(node.label, {"soc": subject.soc.name})


def tanh_gelu_dynamic(subject: Subject) -> Hits:
    """Gelu's tanh form, ``Tanh((x + 0.044715 x^3) c) + 1``, in a model with symbolic sizes."""
    shapes = [subject.model.main.value(info.name).shape for info in subject.model.inputs]
    if not any(shape is None or any(isinstance(dim, str) for dim in shape) for shape in shapes):
        return
    for node in subject.model.nodes():
        if node.standard and node.op == "Tanh" and _added_to(node) and _scaled_sum(node):
            yield Hit(node.label)


def _added_to(node: Node) -> bool:
    return any(user.op == "Add" for name in node.outputs for user in node.graph.consumers.get(name, ()))


def _scaled_sum(node: Node) -> bool:
    scaled = node.source(0)
    if scaled is None or scaled.op not in ("Mul", "Div"):
        return False
    sums = [scaled.source(index) for index in range(len(scaled.inputs))]
    return any(term is not None and term.op == "Add" for term in sums)


def constant_form(subject: Subject) -> Hits:
    """Constant nodes whose value is not a tensor."""
    for node in subject.model.nodes():
        if node.standard and node.op == "Constant" and "value" not in node.attributes:
            yield Hit(node.label, {"form": ", ".join(node.attributes) or "no attribute"})


def sparse_initializer(subject: Subject) -> Hits:
    """Sparse constants of the main graph."""
    for sparse in subject.model.proto.graph.sparse_initializer:
        yield Hit(sparse.values.name or "a sparse initializer")


def constant_data(subject: Subject) -> Hits:
    """Constants whose shape, dtype and numbers do not fit together."""
    for tensor in tensors(subject.model.proto):
        # A dtype that ATC does not know is another rule's.
        if tensor.data_type in DTYPES and (fault := fault_of(tensor)):
            yield Hit(tensor.name or "a constant", {"fault": fault})


def external_data(subject: Subject) -> Hits:
    """Constants whose file is absent, too short, or not beside the model."""
    model = with_its_data(subject.model.path)
    for tensor in filter(is_external, tensors(subject.model.proto)):
        if tensor.data_type in DTYPES and not fault_of(tensor):
            try:
                place_of(tensor, model)
            except NeoNextError as error:
                yield Hit(
                    tensor.name or "a constant", {"fault": str(error).removeprefix(f"{model}: ").partition("; ")[0]}
                )
