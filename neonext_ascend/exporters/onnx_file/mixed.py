"""Nodes of an fp16 graph that compute in fp32: constants in fp32, and a Cast wherever a value crosses the edge."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

import numpy as np
from onnx import NodeProto, TensorProto, helper

from neonext_ascend.errors import ArgumentError, UsageError
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.spec import MOVES


def keep_fp32(graph: OnnxGraph, names: Collection[str], wanted: Iterable[str]) -> None:
    """Rewrite the graph so that these nodes compute in fp32; nodes that only move a kept value carry it in fp32.

    Args:
        graph: an fp16 graph, complete.
        names: of the nodes.
        wanted: values that are read from outside, which stay fp16: outputs and points.

    Raises:
        UsageError: the graph is fp32 as a whole, or has no node of such a name.
    """
    if graph.dtype != np.float16:
        raise UsageError("keep_fp32 keeps nodes of an fp16 file; this one is fp32 as a whole: give dtype fp16 with it")
    present = [node.name for node in graph.nodes]
    for name in sorted(set(names).difference(present)):
        near = difflib.get_close_matches(name, present, n=3, cutoff=0.5) or present[:3]
        raise ArgumentError("keep_fp32", name, f"a node of the graph, such as {', '.join(near)}")
    _Rewriting(graph, names).run(set(wanted))


class _Rewriting:
    def __init__(self, graph: OnnxGraph, names: Collection[str]) -> None:
        self.graph, self.names = graph, names
        self.wide: dict[str, str] = {}  # value -> its name in fp32
        self.narrow: set[str] = set()  # of these the ones that stand in fp16 as well
        self.made: set[str] = set()  # of these the ones that a kept node gives
        self.nodes: list[NodeProto] = []

    def run(self, wanted: set[str]) -> None:
        """In the order of the graph; Casts stand before the first node that needs them."""
        for node in self.graph.nodes:
            moved = node.op_type in MOVES and node.input[0] in self.made
            if node.name in self.names or moved:
                self._widen(node)
            else:
                for name in node.input:
                    self._narrow(name)
            self.nodes.append(node)
        for name in self.wide:
            if name in wanted:
                self._narrow(name)
        self.graph.nodes[:] = self.nodes
        read = {name for node in self.nodes for name in node.input}
        self.graph.initializers = {n: held for n, held in self.graph.initializers.items() if n in read}

    def _widen(self, node: NodeProto) -> None:
        for place, name in enumerate(node.input):
            if name in self.graph.initializers:
                node.input[place] = self.graph.in_fp32(name)
                continue
            if name not in self.wide:
                self.wide[name] = self.graph.reserve(f"{name}.fp32")
                self.narrow.add(name)
                self._cast(name, self.wide[name], self.wide[name], TensorProto.FLOAT)
            node.input[place] = self.wide[name]
        for place, name in enumerate(node.output):
            self.wide[name] = node.output[place] = self.graph.reserve(f"{name}.fp32")
            self.made.add(name)

    def _narrow(self, name: str) -> None:
        if name in self.wide and name not in self.narrow:
            self.narrow.add(name)
            self._cast(self.wide[name], name, self.graph.reserve(f"{name}.fp16"), TensorProto.FLOAT16)

    def _cast(self, source: str, target: str, name: str, dtype: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], name=name, to=dtype))
