"""GELU in the forms that are written: exact with Erf, its tanh form, or an operator of the vendor's own.

Neither ai.onnx 18 nor ATC's parser has a Gelu operator for it. The exact form has the order of operations that ONNX
Runtime fuses again; the tanh form that of the pattern which the vendor's GeluFusionPass is documented to fuse on 910B.
"""

from __future__ import annotations

import math

from torch import fx, nn

from neonext_ascend.artifacts.vendor_operators import DOMAIN, GELU
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph


def emit_gelu(graph: OnnxGraph, node: fx.Node, module: nn.GELU | None, inputs: list[str], out: str) -> None:
    """Append the nodes, in the graph's form; a GELU that is itself of the tanh form stays so."""
    (x,) = inputs
    form = module.approximate if module is not None else str(node.kwargs.get("approximate", "none"))
    if graph.gelu == "npu":
        graph.node(GELU, [x], out, domain=DOMAIN, approximate=form)
    elif graph.gelu == "tanh" or form == "tanh":
        _tanh(graph, x, out)
    else:
        _erf(graph, x, out)


def _erf(graph: OnnxGraph, x: str, out: str) -> None:
    """``0.5 (x (1 + erf(x / sqrt(2))))``."""
    scaled = graph.node("Div", [x, graph.scalar("gelu.sqrt2", math.sqrt(2.0))], graph.reserve(f"{out}.scaled"))
    erf = graph.node("Erf", [scaled], graph.reserve(f"{out}.erf"))
    gate = graph.node("Add", [erf, graph.scalar("gelu.one", 1.0)], graph.reserve(f"{out}.gate"))
    gated = graph.node("Mul", [x, gate], graph.reserve(f"{out}.gated"))
    graph.node("Mul", [gated, graph.scalar("gelu.half", 0.5)], out)


def _tanh(graph: OnnxGraph, x: str, out: str) -> None:
    """``x (0.5 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))))``."""

    def step(op: str, inputs: list[str], name: str) -> str:
        return graph.node(op, inputs, graph.reserve(f"{out}.{name}"))

    cubed = step("Pow", [x, graph.scalar("gelu.three", 3.0)], "cubed")
    cubic = step("Mul", [cubed, graph.scalar("gelu.cubic", 0.044715)], "cubic")
    inner = step("Add", [x, cubic], "inner")
    scaled = step("Mul", [inner, graph.scalar("gelu.sqrt2_pi", math.sqrt(2.0 / math.pi))], "scaled")
    gate = step("Add", [step("Tanh", [scaled], "tanh"), graph.scalar("gelu.one", 1.0)], "gate")
    half = step("Mul", [gate, graph.scalar("gelu.half", 0.5)], "half")
    graph.node("Mul", [x, half], out)
