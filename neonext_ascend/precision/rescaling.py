"""Powers of two that bring a value into fp16's range without changing the network: exact, and for every chip.

A linear node's constants take ``2^-k``, the constants of the next products take ``2^k``; between them lies only what a
factor passes through: moves, added constants (which take it too) and Relu. It passes through no GELU.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, numpy_helper

from neonext_ascend.precision.half import LARGEST
from neonext_ascend.runtimes.steps import Step, Steps
from neonext_ascend.spec import MOVES

_SMALLEST_NORMAL = 2.0**-14
# Two powers of room: another picture may reach further than those that were tried.
_ROOM = 2
_FAR = 64  # more powers of two than any constant bears
_PRODUCTS, _SCALES = frozenset({"MatMul", "Conv"}), frozenset({"LayerNormalization", "BatchNormalization"})
_PASSING = MOVES | {"Relu", "AveragePool", "MaxPool", "GlobalAveragePool", "ReduceMean", "ReduceMax", "ReduceSum"}
_WORDS = {"Erf": "GELU", "Tanh": "a Tanh", "Sigmoid": "a Sigmoid", "Softmax": "a Softmax", "Mul": "a product of values"}


@dataclass(frozen=True)
class Rescaling:
    """What to do about one value.

    Args:
        node: whose result is beyond fp16.
        exponents: of two, by constant; empty where none helps.
        reason: why none does; empty where one helps.
        others: the least exponents that bring the value into range, and the most that the constants bear.
    """

    node: str
    exponents: Mapping[str, int]
    reason: str = ""
    others: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})

    def __str__(self) -> str:
        if not self.exponents:
            return f"{self.node}: no power of two helps: {self.reason}"
        parts = [f"{name} by 2^{exponent}" for name, exponent in self.exponents.items()]
        return f"{self.node}: multiply {', '.join(parts)}: exact, the network stays the same"


def rescalings(steps: Steps, largest: Mapping[str, float], nodes: Collection[str] | None = None) -> list[Rescaling]:
    """A proposal for each value beyond fp16; one that an earlier proposal has brought into range is left out.

    Args:
        steps: the graph.
        largest: magnitude of each value in exact numbers.
        nodes: whose values are to come into range; all by default.
    """
    search, found, done = _Search(steps), list[Rescaling](), set[str]()
    for step in steps.steps:
        if nodes is not None and step.name not in nodes:
            continue
        held = [steps.constant(name) for name in step.inputs]
        heavy = any(
            one is not None and one.dtype == np.float32 and np.abs(one).max(initial=0) > LARGEST for one in held
        )
        beyond = {name for name in step.outputs if heavy or not largest.get(name, 0.0) <= LARGEST}
        if beyond & done or (beyond and done & set(step.inputs)):
            done |= beyond  # the effect of one that is told already
        elif beyond:
            proposal, covered = search.around(step, min(beyond), largest)
            done |= covered
            found.append(proposal)
    return found


def rescaled(steps: Steps, proposals: Iterable[Rescaling]) -> Steps:
    """The graph with its constants multiplied so."""
    model, exponents = ModelProto(), dict[str, int]()
    model.CopyFrom(steps.model)
    for proposal in proposals:
        for name, exponent in proposal.exponents.items():
            exponents[name] = exponents.get(name, 0) + exponent
    for tensor in model.graph.initializer:
        if tensor.name in exponents:
            value = np.ldexp(numpy_helper.to_array(tensor), exponents[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return Steps(model)


class _Blocked(Exception):  # noqa: N818 -- no error, but an answer
    """A factor does not pass; says why."""


class _Search:
    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.makers, self.readers = steps.makers, steps.readers

    def around(self, step: Step, name: str, largest: Mapping[str, float]) -> tuple[Rescaling, set[str]]:
        """The proposal for one value, and the values that it brings down."""
        down, up, covered = set[str](), set[str](), set[str]()
        try:
            start = self._source(step, name, down)
            self._follow(start, largest, down, up, covered)
            peak = max(largest.get(value, 0.0) for value in covered)
            if not math.isfinite(peak):
                raise _Blocked("the value is infinite in fp32 as well")
            least, most = self._span(peak, down, up)
        except _Blocked as blocked:
            return Rescaling(step.name, {}, str(blocked)), covered | {name}
        roomy, barely, utmost = (
            {**dict.fromkeys(sorted(down), -bits), **dict.fromkeys(sorted(up), bits)}
            for bits in (min(least + _ROOM, most), least, most)
        )
        return Rescaling(step.name, roomy, others=(barely, utmost)), covered

    def _source(self, step: Step, name: str, down: set[str]) -> str:
        """Back to the node whose constants make the value, which take the factor; its output."""
        operator = step.node.op_type
        constants, values = self._split(step)
        if operator in _PRODUCTS | {"Gemm", "Mul"} | _SCALES and len(values) == 1 and constants:
            down.update(self._factors(step, constants))
            return name
        if (operator in _PASSING and values) or (operator in ("Add", "Sub") and len(values) == 1 and constants):
            before = self.makers.get(values[0])
            if before is not None:
                return self._source(before, values[0], down)
        raise _Blocked(f"{step.name} ({operator}) has no constant that could take it")

    def _follow(self, name: str, largest: Mapping[str, float], down: set[str], up: set[str], covered: set[str]) -> None:
        """Forward to the products that take the factor back."""
        covered.add(name)
        if name in self.steps.outputs:
            raise _Blocked("the value is the network's output")
        for reader in self.readers.get(name, ()):
            operator = reader.node.op_type
            constants, values = self._split(reader)
            if operator in _PRODUCTS | {"Gemm", "Mul"} and len(values) == 1 and constants:
                (result,) = reader.outputs
                if largest.get(result, 0.0) > LARGEST and result not in self.steps.outputs:
                    # Its result must come down as well: the factor passes on, and what is added takes it too.
                    down.update(self._alone(reader, constant) for constant in constants[1:])
                    self._follow(result, largest, down, up, covered)
                else:
                    up.add(self._alone(reader, constants[0]))
            elif operator in _PASSING and len(values) == 1:
                for output in reader.outputs:
                    self._follow(output, largest, down, up, covered)
            elif operator in ("Add", "Sub") and len(values) == 1 and constants:
                down.update(self._alone(reader, constant) for constant in constants)
                for output in reader.outputs:
                    self._follow(output, largest, down, up, covered)
            else:
                raise _Blocked(f"{reader.name} reads it, and no factor passes through {self._what(reader)}")

    def _what(self, reader: Step) -> str:
        """The reader in a user's words."""
        if any(near.node.op_type == "Erf" for name in reader.outputs for near in self.readers.get(name, ())):
            return "GELU"
        if reader.node.op_type in ("Add", "Sub"):
            return "a sum with another value"
        return _WORDS.get(reader.node.op_type, reader.node.op_type)

    def _split(self, step: Step) -> tuple[list[str], list[str]]:
        """Floating constants and values that a step reads."""
        constants, values = [], []
        for name in step.inputs:
            held = self.steps.constant(name)
            if held is None:
                values.append(name)
            elif held.dtype == np.float32:
                constants.append(name)
        return constants, values

    def _factors(self, step: Step, constants: Sequence[str]) -> list[str]:
        """What must be multiplied so that the result is: the factor, and what is added inside the same operator."""
        return [self._alone(step, name) for name in (constants[:2] if step.node.op_type in _SCALES else constants)]

    def _alone(self, step: Step, name: str) -> str:
        if len(self.readers[name]) > 1:
            raise _Blocked(f"{name} is read by {len(self.readers[name])} nodes")
        return name

    def _span(self, peak: float, down: Iterable[str], up: Iterable[str]) -> tuple[int, int]:
        """The fewest powers of two that bring the value into range, and the most that fp16 holds the constants with.

        A constant that is out of range on the side that it moves away from sets no bound.
        """
        least, most, tightest = math.ceil(math.log2(max(peak, 1.0) / LARGEST)), _FAR, ""
        for name, sign in (*((name, -1) for name in sorted(down)), *((name, 1) for name in sorted(up))):
            held = np.abs(self.steps.needed(name).astype(np.float64)).max(initial=0.0)
            if held == 0:
                continue
            if not math.isfinite(held):
                raise _Blocked(f"{name} is infinite itself")
            if sign < 0:
                least = max(least, math.ceil(math.log2(held / LARGEST)))
            room = math.floor(math.log2(LARGEST / held if sign > 0 else held / _SMALLEST_NORMAL))
            if room < most:
                most, tightest = max(room, 0), f"{name} times 2^{sign * max(least, 1)}"
        if least > most:
            name, _, _ = tightest.partition(" ")
            side = "beyond fp16 itself" if name in set(up) else "below fp16's normal numbers"
            best = f"the most that it bears, 2^{most}, leaves {peak * 2.0**-most:.3g}" if most else "it bears none"
            raise _Blocked(f"{tightest} is {side}; {best}")
        return max(least, 1), most
