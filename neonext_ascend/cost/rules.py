"""What kind of work each ONNX operator is for these chips.

Which kernels ATC picks and what it fuses is closed; the table is a model of it, and the fit on published device figures
(docs/cost.md) is what speaks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "conv",
    "pointwise",
    "depthwise",
    "grouped",
    "matmul",
    "attention",
    "elementwise",
    "function",
    "gelu",
    "norm",
    "softmax",
    "reduce",
    "pool",
    "transpose",
    "copy",
    "input",
    "quantise",
    "free",
    "unknown",
]

# Channels that lie side by side in a chip's own layout of a map, NC1HWC0, and the depth of the cube unit's fractal.
BLOCK = 16
INT8_BLOCK = 32  # the same in int8: a fractal of 16 x 32 x 16

# The cube unit's; which of the first six kinds a node is depends on its operands.
# fmt: off
PRODUCTS = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul",
})
# fmt: on
# They give their input another shape: the numbers stay where they are.
# fmt: off
FREE = frozenset({
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast", "CastLike",
})
# fmt: on
# One instruction or two of the vector unit for each element.
# fmt: off
ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "BatchNormalization", "Ceil", "Clip", "Div", "Equal", "Floor", "Greater", "GreaterOrEqual",
    "LeakyRelu", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Relu",
    "Round", "Sign", "Sub", "Sum", "ThresholdedRelu", "Where", "Xor",
})
# fmt: on
# A series or a table for each element.
# fmt: off
FUNCTIONS = frozenset({
    "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "HardSigmoid",
    "HardSwish", "Log", "Mish", "Pow", "Reciprocal", "Selu", "Shrink", "Sigmoid", "SiLU", "Sin", "Sinh", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
})
REDUCTIONS = frozenset({
    "ArgMax", "ArgMin", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare", "CumSum", "TopK",
})
POOLS = frozenset({
    "AveragePool", "MaxPool", "LpPool",
})
NORMS = frozenset({
    "LayerNorm", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization", "LRN",
    "MeanVarianceNormalization", "RMSNormalization",
})
SOFTMAXES = frozenset({
    "Softmax", "LogSoftmax", "Hardmax",
})
# fmt: on
# They read as much as they write, and nothing is computed.
# fmt: off
COPIES = frozenset({
    "Concat", "DepthToSpace", "Expand", "Gather", "GatherElements", "GatherND", "Pad", "Resize", "Slice",
    "SpaceToDepth", "Split", "Tile", "Trilu", "Upsample", "ScatterElements", "ScatterND", "ReverseSequence",
    "OneHot", "Compress",
})
# fmt: on

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(FREE, "free"),
    **dict.fromkeys(ELEMENTWISE, "elementwise"),
    **dict.fromkeys(FUNCTIONS, "function"),
    **dict.fromkeys(REDUCTIONS, "reduce"),
    **dict.fromkeys(POOLS, "pool"),
    **dict.fromkeys(NORMS, "norm"),
    **dict.fromkeys(SOFTMAXES, "softmax"),
    **dict.fromkeys(COPIES, "copy"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), "quantise"),
    "Transpose": "transpose",
    "GELU": "gelu",
    "Gelu": "gelu",
    "NPUGeluV2": "gelu",
}

# What a product takes with it on its way out of the cube unit, if nothing else reads the value between.
# fmt: off
ACTIVATIONS = frozenset({
    "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "SiLU", "HardSwish", "Mish",
})
# fmt: on
