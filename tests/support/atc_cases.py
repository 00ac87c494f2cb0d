"""Small models for ATC's pre-check: for each rule one that breaks it and a sibling that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.helper import (
    make_function,
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_sparse_tensor,
    make_tensor_sequence_value_info,
    make_tensor_value_info,
)

from neonext_ascend.exporters.om_file.options import Precision

FLOAT, HALF, INT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8
INT = onnx.AttributeProto.INT
Shape = Sequence[int | str] | None


def tensor(name: str, *shape: int, dtype: Any = np.float16) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def model(
    *nodes: onnx.NodeProto,
    shape: Shape = (2, 4),
    dtype: int = HALF,
    opset: int = 17,
    constants: Sequence[TensorProto] = (),
    domains: Sequence[tuple[str, int]] = (),
    inputs: Sequence[str] = ("x",),
    **more: Any,
) -> onnx.ModelProto:
    """Inputs ``x`` (of this shape and dtype) and so on, to ``y``; half precision, which every chip multiplies."""
    graph = make_graph(
        list(nodes),
        "g",
        [make_tensor_value_info(name, dtype, shape) for name in inputs],
        [onnx.ValueInfoProto(name="y")],
        list(constants),
    )
    imports = [make_opsetid("", opset), *(make_opsetid(*domain) for domain in domains)]
    return make_model(graph, opset_imports=imports, **more)


def op(kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return make_node(kind, list(inputs or ("x",)), ["y"], name=name or f"the_{kind}", domain=domain, **attributes)


def step(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return make_node(kind, inputs.split(), [output], name=output, **attributes)


def without(field: str) -> onnx.ModelProto:
    made = model(op("Relu"))
    if field == "graph":
        made.ClearField("graph")
    elif field == "opset":
        del made.opset_import[:]
    else:
        made.graph.ClearField(field)
    return made


def with_function() -> onnx.ModelProto:
    body = make_function("local", "Twice", ["a"], ["b"], [make_node("Add", ["a", "a"], ["b"])], [make_opsetid("", 17)])
    return model(op("Twice", domain="local"), domains=[("local", 1)], functions=[body])


def with_loop(kind: str) -> onnx.ModelProto:
    """If, or a Loop, around a Relu."""
    output = make_tensor_value_info("z", HALF, (2, 4))
    inner = make_node("Relu", ["x"], ["z"], name="inner")
    if kind == "If":
        branches = {f"{side}_branch": make_graph([inner], side, [], [output]) for side in ("then", "else")}
        return model(op("If", "c", **branches), constants=[tensor("c", dtype=np.bool_)])
    turn = make_tensor_value_info("i", TensorProto.INT64, ()), make_tensor_value_info("go", TensorProto.BOOL, ())
    body = make_graph([inner], "body", list(turn), [turn[1], output])
    return model(op("Loop", "n", "", body=body), constants=[tensor("n", dtype=np.int64)])


def with_sparse(sparse: bool) -> onnx.ModelProto:
    made = model(op("MatMul", "x", "w"), constants=[] if sparse else [tensor("w", 4, 2)])
    if sparse:
        made.graph.sparse_initializer.append(make_sparse_tensor(tensor("w", 1), tensor("i", 1, dtype=np.int64), (4, 2)))
    return made


def with_external(file: str) -> onnx.ModelProto:
    made = model(op("MatMul", "x", "w"), constants=[tensor("w", 4, 2)])
    onnx.external_data_helper.set_external_data(made.graph.initializer[0], file, offset=0, length=16)
    made.graph.initializer[0].ClearField("raw_data")
    return made


def with_data(nbytes: int) -> onnx.ModelProto:
    """A constant of 16 bytes that has so many."""
    made = model(op("MatMul", "x", "w"), constants=[tensor("w", 4, 2)])
    made.graph.initializer[0].raw_data = bytes(nbytes)
    return made


def with_axis(**fields: Any) -> onnx.ModelProto:
    """Concat, whose axis has these fields of an attribute."""
    made = model(op("Concat", "x", "x"))
    made.graph.node[0].attribute.add(name="axis", **fields)
    return made


def with_input(info: onnx.ValueInfoProto) -> onnx.ModelProto:
    made = model(op("Identity"))
    made.graph.input[0].CopyFrom(info)
    return made


def passing_through() -> onnx.ModelProto:
    made = model()
    made.graph.output[0].name = "x"
    return made


def tanh_gelu(batch: int | str) -> onnx.ModelProto:
    """``0.5 x (1 + Tanh(c (x + 0.044715 x^3)))``."""
    return model(
        step("Pow", "x three", "cube"),
        step("Mul", "cube k", "part"),
        step("Add", "x part", "sum"),
        step("Mul", "sum c", "scaled"),
        step("Tanh", "scaled", "tanh"),
        step("Add", "tanh one", "plus"),
        op("Mul", "x", "plus"),
        shape=(batch, 4),
        constants=[tensor(name) for name in ("three", "k", "c", "one")],
    )


def quantised(left: bool, right: bool) -> onnx.ModelProto:
    """MatMul of int8 as the vendor's AMCT writes it; operands that are variable, or constant."""
    return model(
        *(step("AscendQuant", name, f"q{name}", scale=1.0, offset=0.0) for name in "ab"),
        op("MatMul", "qa", "qb"),
        shape=(4, 4),
        inputs=[name for name, variable in (("a", left), ("b", right)) if variable],
        constants=[tensor(name, 4, 4) for name, variable in (("a", left), ("b", right)) if not variable],
    )


def quantised_batch(batch: int | str) -> onnx.ModelProto:
    return model(
        step("AscendQuant", "x", "q", scale=1.0, offset=0.0),
        step("MatMul", "q w", "sums"),
        op("AscendDequant", "sums", "s", dtype=1),
        shape=(batch, 4),
        constants=[tensor("w", 4, 4, dtype=np.int8), packed(1.0)],
    )


def packed(*scales: float, dtype: Any = np.uint64) -> TensorProto:
    """AscendDequant's parameter, ``s``."""
    return numpy_helper.from_array(np.array(scales, np.float32).view(np.uint32).astype(dtype), "s")


def deployed(
    scale: float = 1.0, dtype: int = 1, bias: Any = np.int32, scales: Sequence[float] = (1.0,)
) -> onnx.ModelProto:
    """A Gemm in the vendor's deploy form."""
    return model(
        step("AscendQuant", "x", "q", scale=scale, offset=0.0, dst_type="INT8"),
        step("Gemm", "q w b", "sums"),
        op("AscendDequant", "sums", "s", dtype=dtype),
        constants=[tensor("w", 4, 4, dtype=np.int8), tensor("b", 4, dtype=bias), packed(*scales)],
    )


def erf(*after: onnx.NodeProto) -> onnx.ModelProto:
    return model(step("Erf", "x", "erf"), *after, constants=[tensor("one")])


@dataclass(frozen=True)
class Case:
    bad: Callable[[], onnx.ModelProto]
    good: Callable[[], onnx.ModelProto]
    node: str | None
    soc: str = "Ascend310P3"
    precision: Precision = "fp16"


WEIGHT = tensor("w", 4, 2)
CASES: dict[str, Case] = {
    "graph-missing": Case(lambda: without("graph"), lambda: model(op("Relu")), None),
    "input-missing": Case(lambda: without("input"), lambda: model(op("Relu")), None),
    "output-missing": Case(lambda: without("output"), lambda: model(op("Relu")), None),
    "opset": Case(lambda: model(op("Relu"), opset=19), lambda: model(op("Relu"), opset=18), None),
    "opset-missing": Case(lambda: without("opset"), lambda: model(op("Relu")), None),
    "domain-missing": Case(
        lambda: model(op("NPUMish", domain="npu")),
        lambda: model(op("NPUMish", domain="npu"), domains=[("npu", 1)]),
        "the_NPUMish",
    ),
    "input-of-nobody": Case(
        lambda: model(op("Add", "x", "z")), lambda: model(op("Add", "x", "z"), constants=[tensor("z")]), "the_Add"
    ),
    "output-of-nobody": Case(
        lambda: model(step("Relu", "x", "t")), lambda: model(op("Relu"), step("Relu", "x", "unread")), "y"
    ),
    "written-twice": Case(
        lambda: model(step("Relu", "x", "y"), op("Sigmoid")),
        lambda: model(op("Relu"), inputs=("x", "w"), constants=[tensor("w")]),  # an input's default
        "the_Sigmoid",
    ),
    "cycle": Case(
        lambda: model(step("Add", "b x", "a"), step("Relu", "a", "b"), op("Relu", "b")),
        lambda: model(step("Add", "x x", "a"), step("Relu", "a", "b"), op("Add", "a", "b")),
        "a",
    ),
    "order": Case(
        lambda: model(op("Relu", "a"), step("Relu", "x", "a")),
        lambda: model(step("Relu", "x", "a"), op("Relu", "a")),
        "the_Relu",
    ),
    "no-nodes": Case(passing_through, lambda: model(op("Identity")), None),
    "operator-form": Case(
        lambda: model(op("Concat", "x", "x")), lambda: model(op("Concat", "x", "x", axis=0)), "the_Concat"
    ),
    "attribute-form": Case(lambda: with_axis(type=INT, floats=[1.0]), lambda: with_axis(type=INT, i=1), "the_Concat"),
    "attribute-unknown": Case(
        lambda: model(op("Relu", alpha=0.1)), lambda: model(op("LeakyRelu", alpha=0.1)), "the_Relu"
    ),
    "gelu": Case(lambda: model(op("Gelu"), opset=20), lambda: model(op("Erf")), "the_Gelu"),
    "operator-too-new": Case(
        lambda: model(op("Swish"), opset=24), lambda: model(op("HardSwish"), opset=14), "the_Swish"
    ),
    "operator-opset": Case(
        lambda: model(op("LayerNormalization", "x", "s"), opset=16, constants=[tensor("s", 4)]),
        lambda: model(op("LayerNormalization", "x", "s"), opset=17, constants=[tensor("s", 4)]),
        "the_LayerNormalization",
    ),
    "quantised-operator": Case(
        lambda: model(op("DequantizeLinear", "x", "s"), constants=[tensor("s", dtype=np.float32)], dtype=INT8),
        lambda: deployed(),
        "the_DequantizeLinear",
    ),
    "control-flow": Case(lambda: with_loop("Loop"), lambda: with_loop("If"), "the_Loop"),
    "custom-domain": Case(
        lambda: model(op("FusedMatMul", "x", "x", domain="com.microsoft"), domains=[("com.microsoft", 1)]),
        lambda: model(op("NPUFastGelu", domain="npu"), domains=[("npu", 1)]),
        "the_FusedMatMul",
    ),
    "local-function": Case(with_function, lambda: model(op("Add", "x", "x")), "the_Twice"),
    "operator-unknown": Case(
        lambda: model(op("CenterCropPad", "x", "s"), constants=[tensor("s", 2, dtype=np.int64)]),
        lambda: model(op("Pad", "x", "s"), constants=[tensor("s", 4, dtype=np.int64)]),
        "the_CenterCropPad",
    ),
    "constant-form": Case(
        lambda: model(step("Constant", "", "c", value_float=1.0), op("Add", "x", "c")),
        lambda: model(step("Constant", "", "c", value=tensor("c")), op("Add", "x", "c")),
        "c",
    ),
    "sparse-initializer": Case(lambda: with_sparse(True), lambda: with_sparse(False), "w"),
    # The sibling's numbers are in a file that is there: the model of the bad case.
    "external-data": Case(lambda: with_external("absent.bin"), lambda: with_external("bad.onnx"), "w"),
    "constant-data": Case(lambda: with_data(15), lambda: with_data(16), "w"),
    "duplicate-name": Case(
        lambda: model(step("Relu", "x", "a"), op("Relu", "a", name="a")),
        lambda: model(step("Relu", "x", "a"), op("Relu", "a", name="b")),
        "a",
    ),
    "dtype-unknown": Case(
        lambda: with_input(make_tensor_sequence_value_info("x", FLOAT, (2, 4))),
        lambda: with_input(make_tensor_value_info("x", TensorProto.INT64, (2, 4))),
        "x",
    ),
    "input-shapeless": Case(lambda: model(op("Relu"), shape=None), lambda: model(op("Relu"), shape=()), "x"),
    "size-not-positive": Case(lambda: model(op("Relu"), shape=(2, 0)), lambda: model(op("Relu"), shape=("n", 1)), "x"),
    "dynamic-batch": Case(lambda: model(op("Relu"), shape=("n", 3)), lambda: model(op("Relu"), shape=(1, 3)), "x"),
    "dynamic-axes": Case(
        lambda: model(op("Relu"), shape=(1, 3, "h", "w")), lambda: model(op("Relu"), shape=("n", 3, 8, 8)), "x"
    ),
    "dynamic-axes-310b": Case(
        lambda: model(op("Relu"), shape=(1, 3, "h", "w")),
        lambda: model(op("Relu"), shape=("n", 3, 8, 8)),
        "x",
        soc="Ascend310B4",
    ),
    "quantised-dynamic": Case(lambda: quantised_batch("n"), lambda: quantised_batch(1), "x"),
    "matmul-rank": Case(
        lambda: model(op("MatMul", "x", "w"), shape=(4,), constants=[WEIGHT]),
        lambda: model(op("MatMul", "x", "w"), shape=(1, 1, 1, 1, 2, 4), constants=[WEIGHT]),
        "the_MatMul",
    ),
    "conv-rank": Case(
        lambda: model(op("Conv", "x", "k"), shape=(1, 1, 2, 2, 2, 2), constants=[tensor("k", 1, 1, 1, 1, 1, 1)]),
        lambda: model(op("Conv", "x", "k"), shape=(1, 1, 2, 2, 2), constants=[tensor("k", 1, 1, 1, 1, 1)]),
        "the_Conv",
    ),
    "cube-dtype": Case(
        lambda: model(op("MatMul", "x", "w"), dtype=FLOAT, constants=[tensor("w", 4, 2, dtype=np.float32)]),
        lambda: model(op("MatMul", "x", "w"), constants=[WEIGHT]),
        "the_MatMul",
    ),
    "cube-dtype-origin": Case(
        lambda: model(op("MatMul", "x", "w"), dtype=FLOAT, constants=[tensor("w", 4, 2, dtype=np.float32)]),
        lambda: model(op("MatMul", "x", "w"), constants=[WEIGHT]),
        "the_MatMul",
        precision="origin",
    ),
    "silent-half": Case(
        lambda: model(op("Relu"), dtype=FLOAT), lambda: model(op("Relu"), dtype=HALF), None, soc="Ascend910B3"
    ),
    "int8-variables": Case(lambda: quantised(True, True), lambda: quantised(True, False), "the_MatMul"),
    "int8-right-operand": Case(lambda: quantised(False, True), lambda: quantised(True, False), "the_MatMul"),
    "int8-form": Case(lambda: deployed(bias=np.float16), deployed, "sums"),
    "int8-scale": Case(lambda: deployed(scale=0.0), deployed, "q"),
    "int8-dequant-fp32": Case(lambda: deployed(dtype=0), deployed, "the_AscendDequant", soc="Ascend910B3"),
    "int8-chip": Case(deployed, lambda: model(op("Relu")), None),
    "gelu-erf": Case(lambda: erf(op("Add", "erf", "one")), lambda: erf(op("Mul", "erf", "one")), "erf"),
    "gelu-npu": Case(
        lambda: model(op("NPUGeluV2", domain="npu"), domains=[("npu", 1)]),
        lambda: model(op("NPUMish", domain="npu"), domains=[("npu", 1)]),
        "the_NPUGeluV2",
    ),
    "gelu-tanh-dynamic": Case(lambda: tanh_gelu("n"), lambda: tanh_gelu(2), "tanh"),
    "shapes-unknown": Case(
        lambda: model(op("NPUMish", domain="npu")),
        lambda: model(op("NPUMish", domain="npu"), domains=[("npu", 1)]),
        None,
    ),
}
