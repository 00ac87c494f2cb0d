"""The last nodes of an ONNX graph: what was done to the classes after the last layer with weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neonext_ascend.errors import NeoNextError
from neonext_ascend.runtimes.registry import is_om

# Move or round values and do not change what they mean.
_SHAPES = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_CARRYING = _SHAPES | {"Cast", "Clip", "DequantizeLinear", "QuantizeLinear"}
# What a softmax, a sigmoid or a mean of several networks is made of where it is spelled out.
_SUMS = frozenset({"Max", "Mean", "Min", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceSum", "Sum"})
_POINTWISE = frozenset({"Add", "Concat", "Div", "Gather", "Mul", "Neg", "Pow", "Reciprocal", "Slice", "Sub", "Where"})
_CURVES = frozenset({"Erf", "Exp", "HardSigmoid", "Log", "LogSoftmax", "Sigmoid", "Softmax", "Softplus", "Tanh"})
_FOLLOWED = _CARRYING | _SUMS | _POINTWISE | _CURVES


@dataclass(frozen=True, slots=True)
class LastNodes:
    """What computes an output.

    Attributes:
        decisive: the last operator that does more than carry values on; empty where there is none.
        ops: all operators back to those with weights.
    """

    decisive: str
    ops: frozenset[str]


def read_last_nodes(artifact: Path, output: str) -> LastNodes | None:
    """Read without weights; ``None`` where the file holds no graph to be read: an OM, or what onnx does not decode."""
    if is_om(artifact):
        return None
    from neonext_ascend.artifacts.skim import skim_model

    try:
        graph = skim_model(artifact).graph
    except NeoNextError:  # what runs it has opened it, and is the judge
        return None
    makers = {name: node for node in graph.node for name in node.output if name}
    node = makers.get(output)
    while node is not None and node.op_type in _CARRYING and node.input:
        node = makers.get(node.input[0])
    ops: set[str] = set()
    seen: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in makers:
            continue
        seen.add(name)
        ops.add(makers[name].op_type)
        if makers[name].op_type in _FOLLOWED:
            waiting += makers[name].input
    # onnxruntime's quantiser writes QLinearSoftmax.
    return LastNodes("" if node is None else node.op_type.removeprefix("QLinear"), frozenset(ops))
