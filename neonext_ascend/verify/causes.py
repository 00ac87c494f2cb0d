"""Why a node gives what it gives: hypotheses, each tried by computing, held against the same node of a right graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.verify.constants import Change, change_of, close, differ
from neonext_ascend.verify.nodes import Fault

if TYPE_CHECKING:  # it loads PyTorch, which two files do without
    from neonext_ascend.verify.layers import Layers

_AGAIN = "export the file again from its checkpoint"
_SIDES = {"left": "A", "right": "B"}
# Two results that are the same up to a float32 kernel's rounding.
_EXPLAINED = 1e-4


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a node makes an error.

    Args:
        node: to blame.
        what: the likely cause, in words.
        remedy: what to try.
    """

    node: str
    what: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {"node": self.node, "cause": self.what, "remedy": self.remedy}


@dataclass(frozen=True)
class Pair:
    """A graph and a right one.

    Args:
        steps, theirs: the two.
        names: values of the first that have a counterpart -> that one's name.
        layers: of the network that both were made from; ``None`` where it is not known.
    """

    steps: Steps
    theirs: Steps
    names: Mapping[str, str]
    layers: Layers | None = None

    def counterpart(self, step: Step) -> Step | None:
        """The right graph's node that gives the same value."""
        makers = (self.makers.get(self.names.get(name, "")) for name in step.outputs)
        return next((maker for maker in makers if maker is not None), None)

    @cached_property
    def makers(self) -> dict[str, Step]:
        """Who makes each value of the right graph."""
        return {name: step for step in self.theirs.steps for name in step.outputs}

    def changed(self, step: Step, other: Step) -> Iterator[tuple[str, Array, Array]]:
        """Constants of a node that are not the right ones: name, value, the right value."""
        half = self.steps.half or self.theirs.half
        for mine, right in zip(step.node.input, other.node.input, strict=False):
            got, want = self.steps.constant(mine), self.theirs.constant(right)
            if got is not None and want is not None and differ(got, want, half):
                yield mine, got, want


def explain(fault: Fault, pair: Pair) -> Cause:
    """The first hypothesis that holds."""
    step, other = fault.step, pair.counterpart(fault.step)
    found = other and (_residual(fault, other, pair) or _constants(step, other, pair) or _operator(step, other))
    return (
        found
        or _result(fault)
        or Cause(
            step.name,
            "nothing that was tried explains it: wiring, constants, operator, attributes, scale, order of the result",
            "look at the sub-graph that debug -o writes: this node with its inputs and the expected result",
        )
    )


def _residual(fault: Fault, other: Step, pair: Pair) -> Cause | None:
    """A sum of which one summand is missing, at the node itself or where its sum should be read."""
    step, makers = fault.step, pair.makers
    remedy = f"put the Add back: {_AGAIN}, and look at what removed it (an optimiser, a hand-made edit)"
    if other.node.op_type == "Add" and step.node.op_type != "Add":
        for name in step.inputs:
            if name in fault.inputs and close(fault.got, fault.inputs[name], _EXPLAINED):
                lost = [one for one in other.inputs if one != pair.names.get(name, name)]
                return Cause(step.name, f"the residual is dropped: it gives {name} without {lost[0]}", remedy)
    read = {name: pair.names.get(name) for name in step.inputs}
    for mine, right in zip(step.node.input, other.node.input, strict=False):
        maker, reads = makers.get(right), read.get(mine)
        if maker is None or reads is None or right in read.values():
            continue
        if maker.node.op_type == "Add" and reads in maker.inputs:
            lost = [one for one in maker.inputs if one != reads]
            return Cause(maker.name, f"the residual is dropped: {step.name} reads {mine} without {lost[0]}", remedy)
        return Cause(step.name, f"it reads {mine} in place of {right}", f"wire {right} to it: {_AGAIN}")
    return None


def _constants(step: Step, other: Step, pair: Pair) -> Cause | None:
    """What was done to the constants that the node reads; the one that is explained speaks first."""
    unexplained = None
    for name, got, want in pair.changed(step, other):
        change = change_of(got, want, pair.steps.half or pair.theirs.half)
        if change is not None:
            return Cause(step.name, *_words(name, change, step, pair, got))
        if unexplained is None:
            told = f"its constant {name} is another, and nothing that was tried turns the right one into it"
            if got.size == 1 and want.size == 1:
                told = f"its constant {name} is {got.item():.6g} in place of {want.item():.6g}"
            elif got.shape != want.shape:
                told = f"its constant {name} is {list(got.shape)} in place of {list(want.shape)}"
            elif got.dtype.kind == "i":
                told = f"its constant {name} is {got.tolist()} in place of {want.tolist()}"
            unexplained = Cause(step.name, told, f"{_AGAIN}, and see which weights it takes")
    return unexplained


def _words(name: str, change: Change, step: Step, pair: Pair, got: Array) -> tuple[str, str]:
    layer, _, what = name.rpartition(".")
    matrix = f"its matrix {_SIDES[what]} ({name})" if what in _SIDES else f"its constant {name}"
    detail = np.zeros(0) if change.detail is None else change.detail
    if change.kind == "transposed":
        return f"{matrix} is transposed", f"write {name} without a transpose: rows first; {_AGAIN}"
    if change.kind == "moved":
        words = pair.layers.shift_words(layer, detail) if pair.layers else "another shift"
        moved = f"{np.count_nonzero(detail)} of {len(detail)} channels by {detail.min()} to {detail.max()} pixels"
        return f"{matrix} is built with {words}: {moved}", f"give the network its own shifts (--config), and {_AGAIN}"
    if change.kind == "permuted":
        return _order(matrix, change.axis, detail, step, pair, got)
    if change.kind == "gone":
        return f"{matrix} is all zero", f"{_AGAIN}; a value this small underflows in fp16"
    if change.kind == "scaled":
        return f"{matrix} is {float(detail[0]):.6g} times the right one", f"{_AGAIN} without the factor"
    cause = pair.layers.norm_cause(layer, detail) if pair.layers else None
    return cause or (
        f"{matrix} is scaled along axis {change.axis} by {detail.min():.3g} to {detail.max():.3g}, as by another "
        "BatchNorm or LayerScale",
        f"{_AGAIN}, and see that its statistics are loaded",
    )


def _order(matrix: str, axis: int, order: Any, step: Step, pair: Pair, got: Array) -> tuple[str, str]:
    places = f"{np.count_nonzero(order != np.arange(len(order)))} of {len(order)} stand elsewhere"
    last = any(pair.names.get(name) in pair.theirs.outputs for name in step.outputs)
    if last and len(order) == _classes(step, got, axis):
        return (
            f"{matrix} has its classes in another order: {places}",
            f"take the checkpoint's order of classes, and the labels that belong to it; {_AGAIN}",
        )
    first = any(name in pair.steps.inputs for name in step.inputs)
    colours = order.reshape(3, -1) if first and axis == 1 and len(order) % 3 == 0 else None
    if colours is not None and (colours[::-1].reshape(-1) == np.arange(len(order))).all():
        return (
            f"{matrix} takes BGR in place of RGB",
            f"feed RGB, and take the checkpoint's weights as they are; {_AGAIN}",
        )
    return (
        f"{matrix} has its channels permuted along axis {axis}: {places}",
        f"{_AGAIN}; an order of channels must be the same in the layer before and behind",
    )


def _classes(step: Step, got: Array, axis: int) -> int:
    """Length of the axis of a Gemm's, MatMul's or Add's constant that counts its outputs; 0 for the other one."""
    turned = any(one.name == "transB" and one.i for one in step.node.attribute)
    return got.shape[axis] if got.ndim == 1 or axis == (0 if turned else got.ndim - 1) else 0


def _operator(step: Step, other: Step) -> Cause | None:
    if (step.node.op_type, other.node.op_type) == ("Tanh", "Erf"):
        return Cause(step.name, "Tanh in place of Erf: the tanh form of GELU", _EXACT)
    if step.node.op_type != other.node.op_type:
        told = f"it is a {step.node.op_type} in place of a {other.node.op_type}"
        return Cause(step.name, told, f"{_AGAIN}, and look at what replaced the operator")
    mine, right = ({one.name: one for one in node.node.attribute} for node in (step, other))
    for name in sorted({*mine, *right}):
        if name not in mine or name not in right or mine[name] != right[name]:
            has, wants = (_attribute(held.get(name)) for held in (mine, right))
            return Cause(step.name, f"its {name} is {has} in place of {wants}", f"set {name} to {wants}")
    return None


_EXACT = "export GELU in its exact form, with Erf (nn.GELU(approximate='none'))"


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
    return Cause(name, words[change.kind], _AGAIN)
