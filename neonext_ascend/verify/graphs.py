"""Two ONNX graphs node by node: what was matched, which node makes the first error, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from neonext_ascend.errors import ArtifactError
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.verify.causes.explaining import explain
from neonext_ascend.verify.matching import Matched, match
from neonext_ascend.verify.nodes import MADE_FP32, Fault, NodeError, Reference, compare_nodes, values_of
from neonext_ascend.verify.pair import Cause, Pair

if TYPE_CHECKING:  # it loads PyTorch, which two files do without
    from neonext_ascend.verify.layers import Layers


@dataclass(frozen=True)
class Departure:
    """How two computations of one network depart.

    Args:
        matched: their values.
        nodes: every node that has a counterpart, in order.
        bound: of a node's own error.
        fault: the first node that makes an error; ``None`` where none does.
        cause: of that, where the other computation is a graph too.
    """

    matched: Matched
    nodes: tuple[NodeError, ...]
    bound: float
    fault: Fault | None = None
    cause: Cause | None = None


def compare_graphs(
    steps: Steps, theirs: Steps, feeds: Mapping[str, Array], bound: float = MADE_FP32, layers: Layers | None = None
) -> Departure:
    """Compare a graph with a right one on the same inputs, which are matched by their order.

    Args:
        steps, theirs: the two.
        feeds: every input of the first by name.
        bound: of a node's own error.
        layers: of the network that both were made from; their constants must then agree to the last bit or so.

    Raises:
        ArtifactError: they have different numbers of inputs, or a node cannot be computed.
    """
    if len(theirs.inputs) != len(steps.inputs):
        raise ArtifactError(f"the two have {len(steps.inputs)} and {len(theirs.inputs)} inputs; expected as many")
    fed = dict(zip(theirs.inputs, (feeds[name] for name in steps.inputs), strict=True))
    shapes, others = (
        {name: value.shape for name, value in values_of(*graph)} for graph in ((steps, feeds), (theirs, fed))
    )
    matched = match(steps.steps, theirs.steps, shapes, others)
    names = {**dict(zip(steps.inputs, theirs.inputs, strict=True)), **matched.pairs}
    pair = Pair(steps, theirs, names, layers)
    suspects = {
        step.name
        for step in steps.steps
        if layers is not None
        and (other := pair.counterpart(step)) is not None
        and other.node.op_type == step.node.op_type
        and next(pair.changed(step, other), None) is not None
    }
    faults: list[Fault] = []
    reference = Reference(values_of(theirs, fed), matched.pairs)
    nodes = tuple(compare_nodes(steps, feeds, reference, bound, faults.append, suspects))
    found = Departure(matched, nodes, bound, faults[0] if faults else None)
    return found if found.fault is None else replace(found, cause=explain(found.fault, pair))
