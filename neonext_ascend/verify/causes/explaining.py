"""Why a node gives what it gives: hypotheses, each tried by computing, held against the same node of a right graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from neonext_ascend.errors import with_article
from neonext_ascend.precision.groups import find_groups
from neonext_ascend.runtimes.steps import Step
from neonext_ascend.verify.causes.activations import ACTIVATIONS, TANH_FORM
from neonext_ascend.verify.causes.constant_causes import constant_cause
from neonext_ascend.verify.causes.constants import change_of, close, differ
from neonext_ascend.verify.nodewise.fingerprints import COMMUTATIVE
from neonext_ascend.verify.nodewise.nodes import Fault
from neonext_ascend.verify.nodewise.pair import AGAIN, Cause, Pair

# Two results that are the same up to a float32 kernel's rounding.
_EXPLAINED = 1e-4
_PUT_BACK = f"put the Add back: {AGAIN}, and look at what removed it (an optimiser, a hand-made edit)"
_EXACT = "export GELU in its exact form, with Erf (nn.GELU(approximate='none'))"


def explain(fault: Fault, pair: Pair) -> Cause:
    """The first hypothesis that holds."""
    step, other = fault.step, pair.counterpart(fault.step)
    found = other and (
        _shift(step, pair)
        or _summand(fault, other, pair)
        or _too_many(fault, pair)
        or _activation(fault, other, pair)
        or _operator(step, other, pair)
        or _exchanged(step, other, pair)
        or _wiring(step, other, pair)
        or constant_cause(step, other, pair)
        or _attributes(step, other)
        or _fewer(step, other, pair)
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
            if one.node.op_type == "Pad" and one.name.startswith(f"{layer}.")
        ]
        for steps in (pair.steps, pair.theirs)
    )
    if got == want:
        return None
    # What stands before a map is its shift; behind it the last patch is filled up, whatever the shift.
    shifted, wanted = (any(any(pads[: len(pads) // 2]) for pads in side) for side in (got, want))
    told = "another shift" if shifted == wanted else "a shift, where the network has none"
    told = "no shift, where the network has one" if wanted and not shifted else told
    return Cause(
        step.name,
        f"{layer} is built with {told}: its patches are padded otherwise",
        f"give the network its own shifts (--config), and {AGAIN}",
    )


def _summand(fault: Fault, other: Step, pair: Pair) -> Cause | None:
    """A sum that hands one of its summands on."""
    step = fault.step
    if other.node.op_type != "Add" or step.node.op_type == "Add":
        return None
    for name in step.inputs:
        if name in fault.inputs and close(fault.got, fault.inputs[name], _EXPLAINED):
            lost = [one for one in other.inputs if one != pair.names.get(name, name)] or [name]
            return Cause(step.name, f"the residual is dropped: it gives {name} without {lost[0]}", _PUT_BACK)
    return None


def _too_many(fault: Fault, pair: Pair) -> Cause | None:
    """A node behind one that gives the right result already."""
    values = dict(fault.inputs)
    for step in fault.around[:-1]:
        fed = [values[name] if name in values else pair.steps.needed(name) for name in step.inputs]
        values |= dict(zip(step.outputs, pair.steps.compute(step, fed), strict=True))
    for name in fault.step.inputs:
        value = values.get(name)
        if value is not None and value.shape == fault.expected.shape and close(value, fault.expected, _EXPLAINED):
            what = with_article(fault.step.node.op_type)
            told = f"it is {what} too many: {name}, which it reads, is the right result already"
            return Cause(fault.step.name, told, f"take the node out, or {AGAIN}")
    return None


def _activation(fault: Fault, other: Step, pair: Pair) -> Cause | None:
    """Another function where the right graph spells out GELU."""
    kind = _group_of(other, pair)
    for name, function in ACTIVATIONS.items() if kind == "GELU" else ():
        for value in fault.inputs.values():
            if value.shape == fault.got.shape and close(fault.got, function(value), _EXPLAINED):
                form = "it is GELU's tanh form in place of the exact one"
                return Cause(fault.step.name, form if name == TANH_FORM else f"it is {name} in place of GELU", _EXACT)
    return None


def _group_of(other: Step, pair: Pair) -> str:
    """What the right graph spells out in nodes that end in this one; empty where nothing."""
    return next((group.kind for group in find_groups(pair.theirs) if group.output in other.outputs), "")


def _operator(step: Step, other: Step, pair: Pair) -> Cause | None:
    if (step.node.op_type, other.node.op_type) == ("Tanh", "Erf"):
        return Cause(step.name, "Tanh in place of Erf: the tanh form of GELU", _EXACT)
    if step.node.op_type == other.node.op_type:
        return None
    right = _group_of(other, pair) or with_article(other.node.op_type)
    told = f"it is {with_article(step.node.op_type)} in place of {right}"
    return Cause(step.name, told, f"{AGAIN}, and look at what replaced the operator")


def _exchanged(step: Step, other: Step, pair: Pair) -> Cause | None:
    """The right inputs in another order, where the order matters."""
    if step.node.op_type in COMMUTATIVE or len(step.node.input) != len(other.node.input):
        return None

    def same(mine: str, right: str) -> bool:
        got, want = pair.steps.constant(mine), pair.theirs.constant(right)
        if got is None or want is None:
            return got is want and pair.names.get(mine, mine) == right
        return not differ(got, want, pair.steps.half or pair.theirs.half)

    (first, second), wanted = step.node.input[:2] if len(step.node.input) > 1 else ("", ""), other.node.input
    if not first or same(first, wanted[0]) or not (same(first, wanted[1]) and same(second, wanted[0])):
        return None
    told = f"its inputs are exchanged: it reads {first} first and {second} second"
    return Cause(step.name, told, f"give it {second} first: {AGAIN}")


def _wiring(step: Step, other: Step, pair: Pair) -> Cause | None:
    """Another value in place of one that it should read, as where a sum was taken out before it."""
    read, known = {name: pair.names.get(name) for name in step.inputs}, set(pair.names.values())
    for mine, right in pair.slots(step, other):
        maker, reads = pair.theirs.makers.get(right), read.get(mine)
        if maker is None or reads is None or right in read.values():
            continue
        if maker.node.op_type == "Add" and reads in maker.inputs and right not in known:
            lost = [one for one in maker.inputs if one != reads] or [reads]
            return Cause(maker.name, f"the residual is dropped: {step.name} reads {mine} without {lost[0]}", _PUT_BACK)
        verb = "its residual is" if step.node.op_type == "Add" else "it reads"
        return Cause(step.name, f"{verb} {mine} in place of {right}", f"wire {right} to it: {AGAIN}")
    return None


def _attributes(step: Step, other: Step) -> Cause | None:
    mine, right = ({one.name: one for one in node.node.attribute} for node in (step, other))
    for name in sorted({*mine, *right}):
        if name not in mine or name not in right or mine[name] != right[name]:
            has, wants = (_attribute(held.get(name)) for held in (mine, right))
            return Cause(step.name, f"its {name} is {has} in place of {wants}", f"set {name} to {wants}")
    return None


def _fewer(step: Step, other: Step, pair: Pair) -> Cause | None:
    """A bias that only one of the two has, say."""
    told = pair.lacking(step, other)
    return Cause(step.name, told, f"{AGAIN}, and look at what took it away or added it") if told else None


def _attribute(held: Any) -> str:
    if held is None:
        return "absent"
    value = helper.get_attribute_value(held)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _result(fault: Fault) -> Cause | None:
    """What the node gives, held against what it should give."""
    name, got, want = fault.step.name, fault.got, fault.expected
    if got.shape != want.shape:
        held, wanted = ("x".join(map(str, value.shape)) or "one number" for value in (got, want))
        return Cause(name, f"its result is {held} in place of {wanted}", f"{AGAIN}, and see what it is made for")
    if np.isfinite(got).all() and not np.isfinite(want).all():
        told = "its result is finite, the right one holds NaN or infinity"
        return Cause(name, told, "look at the reference: an overflow or a division by zero in what it reads")
    if not np.isfinite(got).all() and not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return Cause(name, "its result is not finite", "look for an overflow or a division by zero in what it reads")
    change = change_of(got, want)
    if change is None:
        return None
    detail = np.zeros(1) if change.detail is None else change.detail
    words = {
        "transposed": "its result is the right one with the last two axes exchanged",
        "moved": "its result is the right one moved along its diagonal",
        "permuted": f"its result is the right one in another order along axis {change.axis}",
        "scaled": f"its result is {float(detail.flat[0]):.6g} times the right one",
        "rounded": "its result is the right one rounded to fp16",
        "rescaled": f"its result is scaled along axis {change.axis} by {detail.min():.3g} to {detail.max():.3g}",
        "gone": "its result is zero",
    }
    return Cause(name, words[change.kind], AGAIN)
