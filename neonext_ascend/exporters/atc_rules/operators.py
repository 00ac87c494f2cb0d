"""The operators that ATC's ONNX parser knows, opset by opset.

Source: the plugins (``*_onnx_plugin.cpp``) of hicann/ops-math, ops-nn and ops-cv as of August 2026; ops-transformer
registers none. What an installed CANN adds to them is not in those files, so an operator that is missing here is not
known to be missing there, except for :data:`NOT_REGISTERED`.
"""

from __future__ import annotations

from collections.abc import Mapping

FIRST_OPSET, LAST_OPSET, SAFE_OPSET = 8, 18, 17
OPSETS = range(FIRST_OPSET, LAST_OPSET + 1)
# Taken by the parser itself, at any opset (hicann/ge, onnx_parser.cc).
PARSED_WITHOUT_PLUGIN = frozenset({"Constant"})

# (opsets, names): of the ai.onnx domain, the vendor's own names in it included.
_TABLE: tuple[tuple[tuple[int, ...], str], ...] = (
    (
        tuple(OPSETS),
        """
        Abs Acos Acosh AdaCast Add And ArgMax ArgMin AscendAntiQuant AscendDequant AscendDequantS16 AscendQuant
        AscendRequant AscendRequantS16 Asin Asinh Atan Atanh AveragePool BasicGRUInplaceFillWindowCache
        BasicLSTMInplaceFillWindowCache BatchNormalization BoundingBoxDecode Cast Ceil Celu Clip Col2im Concat
        ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Det Div Dropout Einsum Elu Equal Erf Exp
        Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
        GlobalMaxPool Greater HardSigmoid Hardmax Identity If InstanceNormalization LRN LSTM LeakyRelu Less
        LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool MaxRoiPool Mean Min Mul Multinomial
        NPUGroupQuant Neg Not Or PRelu Pad PhonyConcat PhonySplit Pow RandomNormal RandomNormalLike RandomUniform
        RandomUniformLike Range Reciprocal ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
        ReduceSum ReduceSumSquare Relu RepeatWithPad Reshape RoiAlign Round ScatterND Selu Shape Sigmoid Sign Sin
        Sinh Size Slice Softmax Softplus Softsign SpaceToDepth SparseToDense Split Sqrt Squeeze Sub Sum Tan Tanh
        Tile TopK TransArgb Transpose Unsqueeze Where Xor
        """,
    ),
    (
        tuple(range(11, 19)),
        """
        BitShift ConcatFromSequence NMSRotated NPUAddRmsNorm NPUAnchorResponseFlags NPUAntiQuant NPUAscendQuantV2
        NPUBatchNms NPUBoundingBoxDecode NPUBoundingBoxEncode NPUCiou NPUDiou NPUDropoutWithAddSoftmax NPUDtypeCast
        NPUDynamicQuant NPUDynamicQuantV2 NPUFastGelu NPUFormatCast NPUFusedAddRmsNorm NPUGeglu NPUGiou
        NPUGridAssignPositive NPUGroupNormSilu NPUGru NPUIndexing NPUIou NPULstm NPULstmCell NPUMish NPUNmsV4
        NPUNmsWithMask NPUOneHot NPUPsRoiPooling NPUQuantize NPURmsNorm NPURoiAlign NPURotaryMul NPURotatedIou
        NPURotatedOverlaps NPUScatter NPUSignBitsPack NPUSignBitsUnpack NPUSlice NPUSoftmaxCrossEntropyWithLogits
        NPUWeightQuantBatchMatmulV2 NPUYoloBoxesEncode RoiAlignRotated ScatterElements SequenceAt SequenceConstruct
        SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence Unique
        """,
    ),
    (
        tuple(range(8, 17)),
        """
        AdaptiveAvgPool2d AdaptiveMaxPool2d AffineGrid BatchMatMul BatchMultiClassNMS Bucketize Corr DynSeqOuter
        GroupNormRelu Int8Conv Int8ConvRelu Int8Dequantize Int8FC Int8GivenIntTensorFill Int8Quantize Int8Transpose
        MovingSumWithSigmoid PSROIPooling QuantBatchMatMul RoiExtractor Yolo YoloPreDetection
        YoloV3DetectionOutputV2 YoloV5DetectionOutput YoloxBoundingBoxDecode
        """,
    ),
    (tuple(range(9, 19)), "Compress IsNaN MeanVarianceNormalization NonZero OneHot Shrink"),
    (tuple(range(10, 19)), "IsInf Mod NonMaxSuppression Resize ReverseSequence ThresholdedRelu"),
    ((18,), "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Col2Im Mish"),
    ((17,), "ResizeBicubic SwinAttentionFFN SwinAttentionScore SwinTransformerLnQKV"),
    (tuple(range(9, 17)), "DeformableConv2D DeformableOffsets NPUDeformableConv2d"),
    ((11, 16, 17, 18), "GridSample GridSample3D GridSampleV2"),
    (tuple(range(8, 18)), "ReduceL1 ReduceL2"),
    (tuple(range(14, 19)), "HardSwish Trilu"),
    (tuple(range(15, 19)), "Bernoulli CastLike"),
    ((17, 18), "LayerNormalization"),
    ((*range(8, 17), 18), "LSTMP"),
    ((9, *range(11, 19)), "MaxUnpool"),
    (tuple(range(12, 19)), "SoftmaxCrossEntropyLoss"),
    ((9, 10, 11), "Scatter"),
    ((11,), "BlendFaceBgPartTwo"),
    ((8, *range(12, 19)), "GreaterOrEqual"),
    (tuple(range(13, 17)), "Triu"),
    ((8, 9, *range(11, 17)), "Upsample"),
)
REGISTERED: Mapping[str, frozenset[int]] = {
    name: frozenset(opsets) for opsets, names in _TABLE for name in names.split()
}

# Of other domains, each at version 1 of its domain.
_OF_NPU = """
    NPUAddRmsNorm NPUAnchorResponseFlags NPUAntiQuant NPUAscendQuantV2 NPUBatchNms NPUBoundingBoxDecode
    NPUBoundingBoxEncode NPUCiou NPUDeformableConv2d NPUDiou NPUDropoutWithAddSoftmax NPUDtypeCast NPUDynamicQuant
    NPUDynamicQuantV2 NPUFastGelu NPUFormatCast NPUFusedAddRmsNorm NPUGeglu NPUGeluV2 NPUGiou NPUGridAssignPositive
    NPUGroupNormSilu NPUGroupQuant NPUGru NPUIndexing NPUIou NPULstm NPULstmCell NPUMish NPUNmsV4 NPUNmsWithMask
    NPUOneHot NPUPsRoiPooling NPUQuantize NPURmsNorm NPURoiAlign NPURotaryMul NPURotatedIou NPURotatedOverlaps
    NPUScatter NPUSignBitsPack NPUSignBitsUnpack NPUSlice NPUSoftmaxCrossEntropyWithLogits NPUYoloBoxesEncode
    WeightQuantBatchMatmulV2
"""
OTHER_DOMAINS: Mapping[str, frozenset[str]] = {
    "npu": frozenset(_OF_NPU.split()),
    "mmdeploy": frozenset({"NMSRotated", "RoiAlignRotated"}),
}

# ONNX's own quantised operators: none of those plugins names them, so a refusal is expected (inferred, not tried).
ONNX_QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    }
)
# Nodes with a body of their own: the parser has an adapter for If alone (hicann/ge, parser/onnx/subgraph_adapter).
LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
# No ai.onnx Gelu at any opset; Ascend's own operator of that name is the tanh form.
NOT_REGISTERED = ONNX_QUANTISED | LOOPS | {"Gelu"}
# The vendor's quantised operators, which its own tool (AMCT) writes into the ai.onnx domain.
VENDOR_QUANTISED = frozenset(
    {
        "AscendAntiQuant",
        "AscendDequant",
        "AscendDequantS16",
        "AscendQuant",
        "AscendRequant",
        "AscendRequantS16",
        "QuantBatchMatMul",
    }
    | {name for name in REGISTERED if name.startswith("Int8")}
)
QUANTISED = ONNX_QUANTISED | VENDOR_QUANTISED


def opsets_in_words(opsets: frozenset[int]) -> str:
    """``8-16, 18``."""
    runs: list[list[int]] = []
    for opset in sorted(opsets):
        if runs and opset == runs[-1][-1] + 1:
            runs[-1].append(opset)
        else:
            runs.append([opset])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
