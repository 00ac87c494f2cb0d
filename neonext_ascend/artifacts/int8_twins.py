"""The vendor's int8 operators in those of ai.onnx, exact: what ONNX Runtime computes in their place.

ConvInteger and MatMulInteger take the first operand as uint8 with a zero point on every CPU, so 128 is added to it and
named as the zero point. Ties go to even; of rounding the vendor's documents say no more than that there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a machine that runs an ONNX file of standard operators does without it
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

QUANT, DEQUANT = "AscendQuant", "AscendDequant"
_ZERO = 128
# Of ai.onnx, of ONNX Runtime's own (QGemm, QLinearAdd, MatMulNBits, ...), of the vendor's tool, and of OpenVINO's.
_QUANTISED = re.compile(
    "(Dynamic)?Quantize(Linear|LSTM|MatMul|BFP|WithOrder)|Dequantize(Linear|BFP|WithOrder)|Q(Linear|Ordered)[A-Z].*"
    "|Q(Attention|EmbedLayerNormalization|Gemm|MoE)|(Conv|MatMul|Mul|ReduceSum)Integer(16|ToFloat)?"
    "|MatMul(NBits.*|Bnb4|FpQ4|BlockQuantized.*)|GatherBlockQuantized|FakeQuantize|Ascend.*[Qq]uant.*"
)


def scales_of(parameter: NDArray[np.uint64]) -> NDArray[np.float32]:
    """AscendDequant's scales: the low half of each UINT64 has the bits of a float32."""
    import numpy as np

    return (parameter & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)


def is_quantised(operator: str) -> bool:
    """Whether an operator takes or gives integers in place of floating-point numbers."""
    return _QUANTISED.fullmatch(operator) is not None


def holds_int8(model: ModelProto) -> bool:
    """Whether a model has the vendor's int8 operators."""
    return any(node.op_type in (QUANT, DEQUANT) and not node.domain for node in model.graph.node)


def with_int8_twins(model: ModelProto) -> ModelProto:
    """The model, changed in place; whatever is no layer of the deploy form stays as it is."""
    twins = _Twins(model)
    nodes = [one for node in list(model.graph.node) for one in twins.of(node)]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    read = {name for node in copies for name in node.input} | {value.name for value in model.graph.output}
    left = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)
    return model


class _Twins:
    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.held: dict[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.integer: dict[str, bool] = {}  # what is integer here -> whether its channels lie on axis 1, as a Conv's

    def hold(self, name: str, value: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        if name not in self.held:
            self.held[name] = self.graph.initializer.add()
            self.held[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))
        return name

    def array(self, name: str) -> Any:
        from onnx import numpy_helper

        return numpy_helper.to_array(self.held[name])

    def of(self, node: NodeProto) -> Iterator[NodeProto]:
        """What stands for a node."""
        if node.op_type == QUANT:
            yield from self._quant(node)
        elif node.op_type == DEQUANT:
            yield from self._dequant(node)
        elif node.op_type in ("Conv", "Gemm", "MatMul") and node.input[0] in self.integer:
            yield from self._product(node)
        else:
            if node.op_type == "Add" and node.input[0] in self.integer:
                self.integer[node.output[0]] = self.integer[node.input[0]]
            yield node

    def _quant(self, node: NodeProto) -> Iterator[NodeProto]:
        import numpy as np
        from onnx import TensorProto
        from onnx.helper import get_attribute_value, make_node

        (x,), (result,) = node.input, node.output
        told = {one.name: get_attribute_value(one) for one in node.attribute}
        scale = self.hold(f"{result}.by", np.float32(told.get("scale", 0.0)))
        offset = self.hold(f"{result}.offset", np.float32(told.get("offset", 0.0) + _ZERO))
        low, high = self.hold("int8.low", np.float32(0)), self.hold("int8.high", np.float32(255))
        steps: list[tuple[str, list[str], dict[str, Any]]] = [
            ("Cast", [x], {"to": TensorProto.FLOAT}),
            ("Mul", [f"{result}.Cast", scale], {}),
            ("Round", [f"{result}.Mul"], {}),
            ("Add", [f"{result}.Round", offset], {}),
            ("Clip", [f"{result}.Add", low, high], {}),
        ]
        for kind, inputs, attributes in steps:
            yield make_node(kind, inputs, [f"{result}.{kind}"], f"{node.name}.{kind}", **attributes)
        yield make_node("Cast", [f"{result}.Clip"], [result], node.name, to=TensorProto.UINT8)
        self.integer[result] = False

    def _product(self, node: NodeProto) -> Iterator[NodeProto]:
        import numpy as np
        from onnx.helper import get_attribute_value, make_node

        (x, weight, *bias), (result,) = node.input, node.output
        told = {one.name: get_attribute_value(one) for one in node.attribute}
        conv = node.op_type == "Conv"
        self.integer[result] = conv
        if told.pop("transB", 0):
            weight = self.hold(f"{weight}.turned", np.ascontiguousarray(self.array(weight).T))
        kind, attributes = ("ConvInteger", told) if conv else ("MatMulInteger", {})
        sums = f"{result}.sums" if bias else result
        yield make_node(kind, [x, weight, self.hold("int8.zero", np.uint8(_ZERO))], [sums], node.name, **attributes)
        if bias:
            shape = (-1, 1, 1) if conv else (-1,)
            added = self.hold(f"{bias[0]}.spread", self.array(bias[0]).reshape(shape))
            yield make_node("Add", [sums, added], [result], f"{node.name}.bias_added")

    def _dequant(self, node: NodeProto) -> Iterator[NodeProto]:
        from onnx import TensorProto
        from onnx.helper import get_attribute_value, make_node

        (sums, parameter), (result,) = node.input, node.output
        dtype = next((get_attribute_value(one) for one in node.attribute if one.name == "dtype"), 0)
        scales = scales_of(self.array(parameter))
        by = self.hold(f"{parameter}.spread", scales.reshape((-1, 1, 1) if self.integer.get(sums) else (-1,)))
        yield make_node("Cast", [sums], [f"{result}.whole"], f"{node.name}.Cast", to=TensorProto.FLOAT)
        yield make_node("Mul", [f"{result}.whole", by], [f"{result}.scaled"], f"{node.name}.Mul")
        to = TensorProto.FLOAT16 if dtype == 1 else TensorProto.FLOAT
        yield make_node("Cast", [f"{result}.scaled"], [result], node.name, to=to)
