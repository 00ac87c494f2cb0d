"""A graph in half precision beside itself in float32, node by node: where fp16 does not hold it.

Every node's result is rounded to fp16, as are constants and inputs, or where a file holds fp16, what its own types say;
products accumulate in float32, which is the model of the chip's cube unit here. GELU and LayerNorm that are spelled out
round their result alone, as one operator; what would overflow inside them, node by node, is a warning, and so is a mask
that overflows and masks all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neonext_ascend.precision.accumulating import accumulated
from neonext_ascend.precision.groups import Group, find_groups
from neonext_ascend.precision.half import BEYOND, OVERFLOWS, SMALLEST, Overflow, Range, rounded
from neonext_ascend.precision.masks import Masks
from neonext_ascend.precision.modes import ALL, PRODUCTS, HalfMode
from neonext_ascend.precision.report import Alarm, HalfNode, HalfReport
from neonext_ascend.precision.typed import FileTypes
from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.spec import MOVES

# Rounding to 11 bits moves nothing by more than 2^-11 of a tensor's largest number; far beyond it bits were lost below.
_LOST = 2.0**-8
# When lost bits count: a later tensor is wrong by more than this share, and by more than this in itself.
_WRONG, _LARGE = 1e-2, 1e-4
# What can bring back a value that became 0.
_SCALING = ("Mul", "Div", "MatMul", "Gemm", "Conv")


@dataclass
class _World:
    """Values in half precision; one world for both ways of overflowing until something overflows."""

    overflows: list[Overflow]
    values: dict[str, Array]
    half: set[str] = field(default_factory=set)  # values that are rounded already
    whole: dict[str, Array] = field(default_factory=dict)  # inside a group, unrounded
    nodes: list[HalfNode] = field(default_factory=list)
    read: dict[str, Range] = field(default_factory=dict)  # what a node reads in fp16 that fp16 cannot hold
    held: dict[str, tuple[str, Range]] = field(default_factory=dict)  # and the constants, by node

    def parted(self, step: Step) -> list[_World]:
        """One world for each way, as they were before this step."""
        nodes = [node for node in self.nodes if node.name != step.name]
        read = {name: lost for name, lost in self.read.items() if name != step.name}
        held = {name: lost for name, lost in self.held.items() if name != step.name}
        half = self.half.difference(step.outputs)
        return [
            _World([way], dict(self.values), set(half), dict(self.whole), nodes[:], dict(read), dict(held))
            for way in self.overflows
        ]


@np.errstate(over="ignore", invalid="ignore")  # what a damaged file holds is to be judged, not warned of
def halved(
    steps: Steps, feeds: Mapping[str, Array], overflows: Sequence[Overflow] = OVERFLOWS, mode: HalfMode = ALL
) -> list[HalfReport]:
    """Compute a graph in float32 and in half precision on the same feed.

    Args:
        steps: the graph.
        feeds: every input by name.
        overflows: ways of overflowing, a report for each.
        mode: what is rounded; ``origin`` leaves out the second computation.

    Raises:
        ArtifactError: a node cannot be computed.
    """
    walk = _Walk(steps, mode)
    exact: dict[str, Array] = {name: np.asarray(feeds[name]) for name in steps.inputs}
    worlds = [_World(list(overflows), dict(exact))]
    for step in steps.steps:
        fed = [exact[name] if name in exact else steps.needed(name) for name in step.inputs]
        want = steps.compute(step, fed)
        walk.types.learn(step, fed, want)
        exact |= dict(zip(step.outputs, want, strict=True))
        for world in list(worlds):
            if walk.take(step, world, want) and len(world.overflows) > 1:
                # From here on the two ways differ: this step once more in each.
                worlds.remove(world)
                for apart in world.parted(step):
                    walk.take(step, apart, want)
                    worlds.append(apart)
        for values in (exact, *(part for world in worlds for part in (world.values, world.whole))):
            steps.forget(step, values)
    return [walk.report(world, way, exact) for way in overflows for world in worlds if way in world.overflows]


class _Walk:
    """What the worlds of one graph share."""

    def __init__(self, steps: Steps, mode: HalfMode) -> None:
        self.steps, self.mode = steps, mode
        self.groups: dict[int, Group] = {n: group for group in find_groups(steps) for n in group.numbers}
        self.types = FileTypes(steps)
        self.by_types = mode.by_types(self.types.holds_half)
        self.masks = Masks(steps)

    def take(self, step: Step, world: _World, want: Sequence[Array]) -> bool:
        """Compute a step in a world; whether something overflowed there."""
        inputs, results = self.mode.rounds(step.name, step.node.op_type)
        carries = step.node.op_type in MOVES or (step.node.op_type == "Cast" and not self._is_half(step.outputs[0]))
        if self.mode.keep and carries and step.inputs and step.inputs[0] not in world.half:
            inputs = results = False
        results = results and any(map(self._is_half, step.outputs))
        group, overflow = self.groups.get(step.number), world.overflows[0]
        inner = group is not None and group.output not in step.outputs
        fed, partial = [self._value(step, name, world, inputs) for name in step.inputs], 0.0
        if results and self.mode.accumulation == "fp16" and step.node.op_type in PRODUCTS:
            got, partial = accumulated(self.steps, step, fed, overflow)
        else:
            got = self.steps.compute(step, fed)
        if group is not None and results:
            # As a part of one operator: unrounded inside, its last result in place of the node's own.
            values = [world.whole[n] if n in world.whole else self._value(step, n, world, inputs) for n in step.inputs]
            whole = self.steps.compute(step, values)
            world.whole |= dict(zip(step.outputs, whole, strict=True)) if inner else {}
            got = got if inner else whole
        overflowed = step.name in world.read or step.name in world.held
        for name, value, exact in zip(step.outputs, got, want, strict=True):
            world.values[name] = value
            if results and self._is_half(name) and value.dtype == np.float32:
                back, lost = rounded(value.astype(np.float32, copy=False), overflow)
                lost = _unless_infinite(lost, value, exact, overflow)
                if not partial < BEYOND:
                    lost = replace(lost, largest=max(lost.largest, partial), overflowed=max(lost.overflowed, 1))
                world.values[name] = back
                world.half.add(name)
                world.nodes.append(_node(step, lost, back, exact, group.kind if inner and group else ""))
                overflowed |= lost.overflowed > 0
        return overflowed

    def _is_half(self, name: str) -> bool:
        return not self.by_types or name in self.types.half

    def _value(self, step: Step, name: str, world: _World, half: bool) -> Array:
        value = world.values[name] if name in world.values else self.steps.needed(name)
        if not half or value.dtype != np.float32 or name in world.half or not self._is_half(name):
            return value
        back, lost = rounded(value.astype(np.float32, copy=False), world.overflows[0])
        if name in world.values and lost.overflowed:
            world.read.setdefault(step.name, lost)
        elif _unless_infinite(lost, value, value, world.overflows[0]).overflowed:
            world.held.setdefault(step.name, (name, lost))
        return back

    def report(self, world: _World, overflow: Overflow, exact: Mapping[str, Array]) -> HalfReport:
        """What this world comes to."""
        outputs = {name: world.values.get(name, exact[name]) for name in self.steps.outputs}
        kept = {name: value for name, value in exact.items() if name in outputs}
        by_name = {node.name: node for node in world.nodes}
        alarms: dict[str, Alarm] = {}
        warnings: list[Alarm] = []
        for step in self.steps.steps:
            node = by_name.get(step.name)
            beyond = node is not None and node.range.overflowed > 0
            name, constant = world.held.get(step.name, ("", None))
            read = [one for one in (world.read.get(step.name), constant) if one is not None]
            lost = [*read, *([node.range] if beyond and node else [])]
            if not lost:
                continue
            alarm = Alarm(step.name, "overflow", (constant or lost[0]).largest, constant=name)
            # A bound that nothing reaches, or a choice that is not taken.
            idle = constant is not None and not beyond and node is not None and node.relative <= _LOST
            masked = all(each.below for each in lost) and self.masks.ignored(step, by_name)
            inside = node is not None and node.inside != "" and not read
            warnings.append(alarm) if idle or masked or inside else alarms.setdefault(step.name, alarm)
        for alarm in _underflows(world.nodes, self.steps):
            alarms.setdefault(alarm.node, alarm)
        # What lies behind the first cause is its effect.
        first = next((alarms[step.name] for step in self.steps.steps if step.name in alarms), None)
        told = ((first,) if first else (), tuple(warnings))
        return HalfReport(
            overflow,
            tuple(world.nodes),
            outputs,
            kept,
            *told,
            self.by_types,
            # Inside an int8 layer of the deploy form nothing is a node of the file's.
            len(self.types.fp32) if self.by_types and self.steps.int8 != "deploy" else 0,
        )


def _unless_infinite(lost: Range, value: Array, exact: Array, overflow: Overflow) -> Range:
    """What rounding did, but for what is infinite in fp32 as well and may stay so."""
    if not lost.overflowed or overflow == "saturate" or value.shape != exact.shape:
        return lost
    numbers = np.asarray(value, np.float64)
    beyond = ~(np.abs(numbers) < BEYOND)
    same = np.isinf(numbers[beyond]) & (numbers[beyond] == np.asarray(exact)[beyond])
    return replace(lost, overflowed=0) if same.all() else lost


def _node(step: Step, lost: Range, got: Array, exact: Array, inside: str) -> HalfNode:
    with np.errstate(invalid="ignore", over="ignore"):
        absolute = float(np.abs(np.subtract(got, exact)).max(initial=0.0))
    largest = float(np.abs(exact).max(initial=0.0))
    relative = absolute / largest if largest else (0.0 if absolute == 0 else np.inf)
    return HalfNode(step.name, step.node.op_type, lost, relative, absolute, inside)


def _underflows(nodes: Sequence[HalfNode], steps: Steps) -> list[Alarm]:
    """Nodes that lost bits which a later one needed, the first cause alone.

    A branch too small for fp16 that is added to something larger, as in an untrained network, is no alarm.
    """
    by_name = {node.name: node for node in nodes}
    lost: dict[str, HalfNode] = {}  # value -> the first node on its way that lost bits
    for step in steps.steps:
        node = by_name.get(step.name)
        cause = next((lost[name] for name in step.inputs if name in lost), None)
        if node is None:
            lost |= {name: cause for name in step.outputs if cause is not None}
            continue
        if cause is not None and node.relative > _WRONG:
            restored = cause.range.dead and node.operator in _SCALING and node.absolute > SMALLEST
            if node.absolute > _LARGE or restored:
                return [Alarm(cause.name, "underflow", cause.range.largest, node.name)]
        worse = node.range.dead and not (cause is not None and cause.range.dead)
        if (worse or (cause is None and node.range.error > _LOST)) and not node.inside:
            cause = node
        if cause is not None and node.relative > _LOST:
            lost |= dict.fromkeys(step.outputs, cause)
    return []
