"""A quantised file as the graph in floating point that it stands for, and which of its products are int8.

What a file says in AscendQuant, AscendDequant, QuantizeLinear and DequantizeLinear, the count says of the products: so
every file, quantised or not, is grouped by the same rules and is estimated in fp16 and in int8.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto

from neonext_ascend.artifacts.int8_twins import DEQUANT, QUANT
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.rules import PRODUCTS
from neonext_ascend.exporters.int8.eligible import why_not

_INTO, _BACK = "QuantizeLinear", "DequantizeLinear"
_WHOLE = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)


def plain_model(model: ModelProto) -> tuple[ModelProto, frozenset[str]]:
    """A copy without these operators, and the results of the products that are int8; the model itself if it has none.

    Args:
        model: weights may be left out.
    """
    if not any(node.op_type in (QUANT, DEQUANT, _INTO, _BACK) for node in model.graph.node):
        return model, frozenset()
    plain = ModelProto()
    plain.CopyFrom(model)
    found = _Plain(plain)
    found.follow()
    return plain, found.rewire()


class _Plain:
    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.held = {tensor.name: tensor for tensor in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.results = {value.name for value in self.graph.output}
        half = any(value.type.tensor_type.elem_type == TensorProto.FLOAT16 for value in self.graph.input)
        self._floating = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self.same: dict[str, str] = {}  # a value, and the one in floating point that it stands for
        self.narrow: set[str] = set()  # constants that are whole numbers in the file
        self.gone: set[str] = set()

    def follow(self) -> None:
        """Find what every quantised value was made of."""
        for node in self.graph.node:
            name = node.output[0] if node.output else ""
            source = node.input[0] if node.input else ""
            if node.op_type == DEQUANT and source in self.makers:
                maker = self.makers[source]
                maker.output[0] = name
                self.makers[name] = maker
                self.narrow.update(one for one in maker.input if one in self.held)
            elif node.op_type == QUANT and name not in self.results:
                self._stands_for(name, source)
            elif node.op_type == _BACK and name not in self.results:
                maker_of = self.makers.get(source)
                if maker_of is not None and maker_of.op_type == _INTO:
                    self._stands_for(name, maker_of.input[0])
                elif source in self.held and self.held[source].data_type in _WHOLE:
                    self._stands_for(name, source)

    def _stands_for(self, name: str, source: str) -> None:
        self.same[name] = self.same.get(source, source)
        self.gone.add(name)
        if self.same[name] in self.held:
            self.narrow.add(self.same[name])

    def rewire(self) -> frozenset[str]:
        """Put those values in the places of these, constants in floating point; the results of int8 products."""
        int8, left = set[str](), []
        for node in self.graph.node:
            read = [self.same.get(name, name) for name in node.input]
            if node.op_type in PRODUCTS and len(read) > 1 and node.input[0] in self.same:
                weight = self.held.get(read[1])
                if read[1] in self.narrow or (weight is not None and weight.data_type in _WHOLE):
                    int8.add(node.output[0])
                    self.narrow.add(read[1])
            node.input[:] = read
            if node.op_type != DEQUANT and self.gone.isdisjoint(node.output):
                left.append(NodeProto.FromString(node.SerializeToString()))
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(left)
        for name in self.narrow:
            dims = list(self.held[name].dims)
            self.held[name].CopyFrom(TensorProto(name=name, dims=dims, data_type=self._floating))
        return frozenset(int8)


def can_be_int8(flow: Flow) -> frozenset[str]:
    """The results of the products that the vendor's rules let be int8."""
    found = set()
    for node in flow.nodes:
        if node.op in PRODUCTS and node.standard and len(node.inputs) > 1:
            value, weight = (flow.shape(name) if flow.is_constant(name) else None for name in node.inputs[:2])
            if not why_not(node.op, node.attributes, value, weight) and len(flow.readers[node.inputs[1]]) == 1:
                found.add(node.outputs[0])
    return frozenset(found)
