"""Why a node gives what it gives: hypotheses, each tried by computing, held against the same node of a right graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from neonext_ascend.runtimes.steps import Step
from neonext_ascend.verify.constant_causes import constant_cause
from neonext_ascend.verify.constants import change_of, close
from neonext_ascend.verify.nodes import Fault
from neonext_ascend.verify.pair import AGAIN, Cause, Pair

# Two results that are the same up to a float32 kernel's rounding.
_EXPLAINED = 1e-4
_EXACT = "export GELU in its exact form, with Erf (nn.GELU(approximate='none'))"


def explain(fault: Fault, pair: Pair) -> Cause:
    """The first hypothesis that holds."""
    step, other = fault.step, pair.counterpart(fault.step)
    found = other and (
        _shift(step, pair)
        or _residual(fault, other, pair)
        or constant_cause(step, other, pair)
        or _operator(step, other)
    )
    return (
        found
        or _result(fault)
        or Cause(
            step.name,
            "nothing that was tried explains it: wiring, constants, operator, attributes, scale, order of the result",
            "look at the sub-graph that debug -o writes: this node with its inputs and the expected result",
        )
    )


def _shift(step: Step, pair: Pair) -> Cause | None:
    """Patches that are padded otherwise: where a NeoCell is written patch by patch, that is its shift."""
    if pair.layers is None:
        return None
    layer = step.name if step.name.endswith(".neocell") else step.name.rpartition(".")[0]
    got, want = (
        [
            steps.needed(one.node.input[1]).tolist()
            for one in steps.steps
            if one.node.op_type == "Pad" and one.name.startswith(layer)
        ]
        for steps in (pair.steps, pair.theirs)
    )
    if got == want:
        return None
    told = "no shift, where the network has one" if not got else "a shift, where the network has none"
    return Cause(
        step.name,
        f"{layer} is built with {told if not got or not want else 'another shift'}: its patches are padded otherwise",
        f"give the network its own shifts (--config), and {AGAIN}",
    )


def _residual(fault: Fault, other: Step, pair: Pair) -> Cause | None:
    """A sum of which one summand is missing, at the node itself or where its sum should be read."""
    step, makers = fault.step, pair.makers
    remedy = f"put the Add back: {AGAIN}, and look at what removed it (an optimiser, a hand-made edit)"
    if other.node.op_type == "Add" and step.node.op_type != "Add":
        for name in step.inputs:
            if name in fault.inputs and close(fault.got, fault.inputs[name], _EXPLAINED):
                lost = [one for one in other.inputs if one != pair.names.get(name, name)] or [name]
                return Cause(step.name, f"the residual is dropped: it gives {name} without {lost[0]}", remedy)
    read = {name: pair.names.get(name) for name in step.inputs}
    for mine, right in zip(step.node.input, other.node.input, strict=False):
        maker, reads = makers.get(right), read.get(mine)
        if maker is None or reads is None or right in read.values():
            continue
        if maker.node.op_type == "Add" and reads in maker.inputs:
            lost = [one for one in maker.inputs if one != reads] or [reads]
            return Cause(maker.name, f"the residual is dropped: {step.name} reads {mine} without {lost[0]}", remedy)
        return Cause(step.name, f"it reads {mine} in place of {right}", f"wire {right} to it: {AGAIN}")
    return None


def _operator(step: Step, other: Step) -> Cause | None:
    if (step.node.op_type, other.node.op_type) == ("Tanh", "Erf"):
        return Cause(step.name, "Tanh in place of Erf: the tanh form of GELU", _EXACT)
    if step.node.op_type != other.node.op_type:
        told = f"it is a {step.node.op_type} in place of a {other.node.op_type}"
        return Cause(step.name, told, f"{AGAIN}, and look at what replaced the operator")
    mine, right = ({one.name: one for one in node.node.attribute} for node in (step, other))
    for name in sorted({*mine, *right}):
        if name not in mine or name not in right or mine[name] != right[name]:
            has, wants = (_attribute(held.get(name)) for held in (mine, right))
            return Cause(step.name, f"its {name} is {has} in place of {wants}", f"set {name} to {wants}")
    return None


def _attribute(held: Any) -> str:
    if held is None:
        return "absent"
    value = helper.get_attribute_value(held)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _result(fault: Fault) -> Cause | None:
    """What the node gives, held against what it should give."""
    name, got, want = fault.step.name, fault.got, fault.expected
    if not np.isfinite(got).all():
        return Cause(name, "its result is not finite", "look for an overflow or a division by zero in what it reads")
    if any(one.node.op_type == "Tanh" for one in fault.around):
        from neonext_ascend.verify.layers import tanh_gelu

        for value in fault.inputs.values():
            if value.shape == want.shape and close(got, tanh_gelu(np.asarray(value, np.float32)), _EXPLAINED):
                return Cause(name, "it is GELU's tanh form in place of the exact one", _EXACT)
    change = change_of(got, want)
    if change is None:
        return None
    detail = np.zeros(1) if change.detail is None else change.detail
    words = {
        "transposed": "its result is the right one with the last two axes exchanged",
        "moved": "its result is the right one moved along its diagonal",
        "permuted": f"its result is the right one in another order along axis {change.axis}",
        "scaled": f"its result is {float(detail.flat[0]):.6g} times the right one",
        "rescaled": f"its result is scaled along axis {change.axis} by {detail.min():.3g} to {detail.max():.3g}",
        "gone": "its result is zero",
    }
    return Cause(name, words[change.kind], AGAIN)
