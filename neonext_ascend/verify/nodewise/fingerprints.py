"""What each value of a graph is, as a digest: by how it is computed from the inputs, and by what is made of it.

Names do not enter. A changed constant changes the first digest of all that lies behind it and the second of all that
lies before it, and neither of the others: what is left with neither digest in common is close to the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
from onnx import numpy_helper

from neonext_ascend.runtimes.steps import Array, Step, Steps
from neonext_ascend.runtimes.widening import widened

COMMUTATIVE = frozenset({"Add", "Mul", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Equal"})


class Fingerprints:
    """Of one graph.

    Args:
        steps: the graph.
        inputs, outputs: name -> what stands for it in both graphs.
        half: whether constants are compared as fp16 holds them.

    Attributes:
        forward: of each value and constant: operators, attributes, constants from the inputs down.
        backward: of each value: the same from the outputs up, without the node that makes it.
        shapes_forward, shapes_backward: the same without what the constants hold.
        operators: of each node, with its attributes.
    """

    def __init__(self, steps: Steps, inputs: Mapping[str, str], outputs: Mapping[str, str], half: bool) -> None:
        self.steps, self._inputs, self._outputs, self._half = steps, inputs, outputs, half
        self._held: dict[str, bytes] = {}
        self.operators = [_operator(step) for step in steps.steps]
        self.forward, self.shapes_forward = self._down(True), self._down(False)
        self.backward, self.shapes_backward = self._up(True), self._up(False)

    def source(self, name: str) -> str:
        """The value itself, where Identity nodes hand it on."""
        while (maker := self.steps.makers.get(name)) is not None and maker.node.op_type == "Identity":
            name = maker.node.input[0]
        return name

    def constant(self, name: str) -> Array | None:
        """An initializer's value, or a Constant node's."""
        value, maker = self.steps.constant(name), self.steps.makers.get(name)
        if value is None and maker is not None and maker.node.op_type == "Constant":
            tensors = [one.t for one in maker.node.attribute if one.name == "value"]
            return widened(numpy_helper.to_array(tensors[0])) if tensors else None
        return value

    def content(self, name: str) -> bytes | None:
        """A constant's digest; ``None`` where the name is no constant's."""
        if name not in self._held:
            value = self.constant(name)
            if value is None:
                return None
            if value.dtype.kind == "f":
                with np.errstate(over="ignore"):
                    value = value.astype(np.float16 if self._half else np.float32, copy=False)
            flat = np.ascontiguousarray(value).reshape(-1)
            held = flat.tolist() if flat.dtype.hasobject else flat.view(np.uint8).data  # texts are objects
            self._held[name] = _digest(value.dtype.kind, value.shape, held)
        return self._held[name]

    def constants(self, step: Step) -> tuple[bytes | None, ...]:
        """What the node reads of constants, by slot."""
        return tuple(self.content(name) for name in step.node.input)

    def _down(self, contents: bool) -> dict[str, bytes]:
        found = {name: _digest("input", label) for name, label in self._inputs.items()}

        def of(name: str) -> bytes:
            held = self.content(name)
            if held is None:
                return found.get(name, b"")
            return held if contents else b"constant"

        for step in self.steps.steps:
            if step.node.op_type == "Identity":
                found[step.outputs[0]] = of(step.node.input[0])
                continue
            read = [of(name) for name in (*step.node.input, *step.inputs[len({*filter(None, step.node.input)}) :])]
            read = sorted(read) if step.node.op_type in COMMUTATIVE else read
            for place, name in enumerate(step.node.output):
                found[name] = _digest(self.operators[step.number] if contents else step.node.op_type, place, *read)
        return found

    def _up(self, contents: bool) -> dict[str, bytes]:
        seen: dict[str, list[bytes]] = {}
        for name, label in self._outputs.items():
            seen.setdefault(name, []).append(_digest("output", label))
        found: dict[str, bytes] = {}
        for step in reversed(self.steps.steps):
            for name in step.outputs:
                found[name] = _digest(*sorted(seen.get(name, ())))
            if step.node.op_type == "Identity":
                seen.setdefault(step.node.input[0], []).extend(seen.get(step.outputs[0], ()))
                continue
            operator = self.operators[step.number] if contents else step.node.op_type
            held = [str(one if contents else one is not None) for one in self.constants(step)]
            held = sorted(held) if step.node.op_type in COMMUTATIVE else held
            behind = [found[name] for name in step.outputs]
            for place, name in enumerate((*step.node.input, *step.inputs)):
                # What a node's body reads has no slot.
                slot = -1 if step.node.op_type in COMMUTATIVE or place >= len(step.node.input) else place
                if place < len(step.node.input) or name not in step.node.input:
                    seen.setdefault(name, []).append(_digest(operator, slot, held, *behind))
        return found


def _operator(step: Step) -> bytes:
    held = sorted((one.name, one.SerializeToString(deterministic=True)) for one in step.node.attribute)
    return _digest(step.node.domain, step.node.op_type, *held)


def _digest(*parts: object) -> bytes:
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(part if isinstance(part, bytes | memoryview) else repr(part).encode())
        made.update(b"\0")
    return made.digest()


def labels(first: list[str], second: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What stands for each in both: the name where both have the same names, else the place."""
    if {*first} == {*second}:
        return {name: name for name in first}, {name: name for name in second}
    placed = ({name: str(place) for place, name in enumerate(names)} for names in (first, second))
    ours, theirs = placed
    return ours, theirs
