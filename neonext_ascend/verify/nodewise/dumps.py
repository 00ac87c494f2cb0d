"""A folder of inner values that a device or another run saved: which is which, and in what layout.

A value is saved as ``NAME.npy`` under its own name or its node's, with ``/`` and other signs that no file's name should
have replaced as one likes. An input beside them is what was fed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from neonext_ascend.artifacts.array_file import read_array
from neonext_ascend.errors import ArtifactError, counted
from neonext_ascend.runtimes.steps import Array, Steps
from neonext_ascend.spec import INPUT
from neonext_ascend.verify.nodewise.graphs import Departure, shapes_of
from neonext_ascend.verify.nodewise.layouts import CHANNELS_LAST, laid_out, order_of
from neonext_ascend.verify.nodewise.matching import Matched
from neonext_ascend.verify.nodewise.nodes import MADE_FP16, compare_nodes
from neonext_ascend.verify.reference import Reference

_SIGNS = re.compile(r"[^0-9A-Za-z]+")


class Dump:
    """Such a folder, for one graph.

    Args:
        folder: that holds the files.
        steps: the graph.

    Raises:
        ArtifactError: two files are the same value.
        FileAccessError: the folder cannot be read.
    """

    def __init__(self, folder: Path, steps: Steps) -> None:
        self._folder, self._steps = folder, steps
        self._files = sorted(folder.glob("*.npy"))
        names = _by_sign([name for step in steps.steps for name in step.outputs])
        nodes = _by_sign([step.name for step in steps.steps if step.outputs])
        made = {step.name: step.outputs[0] for step in steps.steps if step.outputs}
        only = {INPUT: steps.inputs[0]} if len(steps.inputs) == 1 else {}
        inputs = {**only, **_by_sign(steps.inputs)}
        self._values, self._inputs = dict[str, Path](), dict[str, Path]()
        for file in self._files:
            name = file.stem
            if name not in steps.makers:
                name = names.get(_plain(name)) or made.get(nodes.get(_plain(name), ""), "")
            if name:
                self._take(self._values, name, file)
            elif (fed := inputs.get(_plain(file.stem))) is not None:
                self._take(self._inputs, fed, file)

    def _take(self, held: dict[str, Path], name: str, file: Path) -> None:
        if name in held:
            raise ArtifactError(f"{file}: is {name}, as {held[name].name} is; expected one file of it")
        held[name] = file

    def fed(self) -> dict[str, Array]:
        """What was fed, by input, as far as the folder holds it.

        Raises:
            ArtifactError: it has another shape than the input, or is no array of numbers.
        """
        found = {}
        for name, dtype, shape in self._steps.tensors():
            if name not in self._inputs:
                continue
            value = read_array(self._inputs[name])
            fixed = tuple(wanted or given for wanted, given in zip(shape, value.shape, strict=False))
            order = order_of(value.shape, fixed if len(shape) == value.ndim else shape)
            if order is None:
                wanted = "x".join(str(length or "any") for length in shape)
                held = "x".join(map(str, value.shape))
                raise ArtifactError(f"{self._inputs[name]}: is {held}; the input {name} takes {wanted}")
            kind = "float32" if dtype in ("float16", "bfloat16") else dtype
            found[name] = np.ascontiguousarray(value.transpose(order)).astype(kind)
        return found

    def compare(self, feeds: Mapping[str, Array]) -> tuple[Departure, str]:
        """The graph against the folder, and what that is in words.

        Raises:
            ArtifactError: no file is a value of the graph, or one is no array of numbers, or of another shape.
        """
        if not self._values:
            told = counted(len(self._files), ".npy file")
            raise ArtifactError(f"{self._folder}: none of its {told} has the name of a value or a node of the graph")
        steps, shapes = self._steps, shapes_of(self._steps, feeds)
        sizes = {name: read_array(file).shape for name, file in self._values.items()}
        orders = {name: order_of(size, shapes[name]) for name, size in sizes.items() if name in shapes}
        # A cube looks alike either way: it is what the others are.
        turned = CHANNELS_LAST in orders.values() and not any(
            order == (0, 1, 2, 3) and len({*sizes[name][1:]}) > 1 for name, order in orders.items()
        )
        strange = [
            name for name, size in sizes.items() if name in shapes and math.prod(size) != math.prod(shapes[name])
        ]
        pairs = {name: name for name in self._values if name not in strange}
        taken: set[str] = set()

        def fit(name: str, value: Array, shape: tuple[int, ...]) -> Array:
            found = laid_out(value, shape, turned)
            if found is None:
                held, wanted = ("x".join(map(str, size)) for size in (value.shape, shape))
                raise ArtifactError(f"{self._values[name]}: is {held}; {name} is {wanted} here")
            if found[1] != tuple(range(len(shape))):
                taken.add(name)
            return found[0]

        # A value of the same name is claimed to be the same value: right outputs do not excuse it.
        reference = Reference(self._read(pairs), pairs, {}, fit)
        found = compare_nodes(steps, feeds, reference, MADE_FP16)
        names = {name for step in steps.steps for name in step.outputs if name in pairs}
        matched = {step.name: step for step in steps.steps if names & {*step.outputs}}
        left = tuple(step.name for step in steps.steps if step.name not in matched)
        told = f"the {counted(len(pairs), 'value')} in {self._folder}"
        if taken:
            told += f", {len(taken)} of them in another order of axes (NHWC, say), turned back"
        if strange:
            told += f"; of another size than here, and left out: {', '.join(strange[:3])}{', ...' * (len(strange) > 3)}"
        return Departure(Matched(pairs, dict.fromkeys(matched, "name"), left), found, MADE_FP16, MADE_FP16), told

    def _read(self, names: Mapping[str, str]) -> Iterator[tuple[str, Array]]:
        for step in self._steps.steps:
            for name in step.outputs:
                if name in names:
                    yield name, read_array(self._values[name])


def _plain(name: str) -> str:
    return _SIGNS.sub("_", name).strip("_")


def _by_sign(names: list[str]) -> dict[str, str]:
    """Plain name -> name, where that is one name's alone."""
    plain: dict[str, list[str]] = {}
    for name in names:
        plain.setdefault(_plain(name), []).append(name)
    return {key: several[0] for key, several in plain.items() if len(several) == 1}
