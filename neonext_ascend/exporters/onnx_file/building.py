"""A prepared network as an ONNX graph whose constants are still to be computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import fx, nn

from neonext_ascend._version import __version__
from neonext_ascend.artifacts.vendor_operators import DOMAIN
from neonext_ascend.errors import PassRefusedError, UsageError, counted
from neonext_ascend.exporters.onnx_file import mixed
from neonext_ascend.exporters.onnx_file.emit import emitter_for
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.exporters.onnx_file.program import emit_steps
from neonext_ascend.exporters.onnx_file.stream import Initializer
from neonext_ascend.kernels.program import Lowered, run
from neonext_ascend.kernels.shapes import ShapeMachine
from neonext_ascend.models.arguments import items_of, shown
from neonext_ascend.passes.deployed import ORIGIN, SHAPE
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.graph import frozen_form, module_of, results_of
from neonext_ascend.passes.pipeline import INPUT_SHAPE
from neonext_ascend.passes.plain import is_replaced, unwrapped
from neonext_ascend.passes.shapes import propagate_shapes
from neonext_ascend.spec import BATCH, INPUT, TensorSpec

DEFAULT_OPSET = 17
_GENERATED = "<eval_with_key>"  # the file of code that torch.fx makes from a graph


@dataclass(frozen=True)
class Built:
    """A graph that is ready to be written.

    Args:
        model: complete but for its initializers.
        initializers: in the order they are written.
        inputs, outputs: name, dtype and shape.
        points: tensor in the graph -> module path in the original network whose output it equals.
    """

    model: ModelProto
    initializers: tuple[Initializer, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    points: Mapping[str, str]

    def skeleton(self) -> ModelProto:
        """The model with all but the numbers of its weights, which are said to lie in another file."""
        model = ModelProto()
        model.CopyFrom(self.model)
        for held in self.initializers:
            element = helper.np_dtype_to_tensor_dtype(held.dtype)
            if held.shape == () or held.dtype == np.int64:
                model.graph.initializer.append(numpy_helper.from_array(held.value(), held.name))
            else:
                location = TensorProto.EXTERNAL if prod(held.shape) else TensorProto.DEFAULT
                weight = TensorProto(name=held.name, dims=held.shape, data_type=element, data_location=location)
                model.graph.initializer.append(weight)
        return model


def build_model(
    network: nn.Module,
    graph: OnnxGraph,
    rows: int | None = 1,
    keep_fp32: Sequence[str] = (),
    names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Built:
    """Build the graph of a prepared network; nothing of its weights is computed.

    Args:
        network: from :func:`neonext_ascend.passes.prepare`.
        graph: empty, of the opset, dtype and form of GELU that are asked for.
        rows: N of input ``image (N, C, H, W)``; ``None`` for a dynamic batch.
        keep_fp32: names of nodes of an fp16 graph that compute in fp32, with a Cast on each side.
        names: of the outputs, as of :func:`export_onnx`.
        metadata: written as ``metadata_props``.

    Raises:
        PassRefusedError: a network that was not prepared, or a layer without an ONNX form.
        UsageError: ``keep_fp32`` names what is no such node, or ``names`` are none.
    """
    prepared = unwrapped(network)
    if not isinstance(prepared, fx.GraphModule) or INPUT_SHAPE not in prepared.meta:
        raise PassRefusedError("this network was not prepared; call neonext_ascend.passes.prepare first")
    _check_computation(prepared)
    shape = prepared.meta[INPUT_SHAPE]
    propagate_shapes(prepared, shape)
    results = _named(results_of(prepared), names)
    graph, points = _emit(prepared, results, graph)
    if keep_fp32:
        mixed.keep_fp32(graph, keep_fp32, [*results, *points])
    dtype = str(graph.dtype)
    batch: int | str = BATCH if rows is None else rows
    inputs = (TensorSpec(INPUT, dtype, (batch, *shape[1:])),)
    outputs = tuple(TensorSpec(name, dtype, (batch, *node.meta[SHAPE][1:])) for name, node in results.items())
    return _built(graph, inputs, outputs, points, metadata or {})


def build_cell(lowered: Lowered, shape: tuple[int, ...]) -> Built:
    """The graph of one NeoCell, without its bias and with zeros for weights.

    Args:
        lowered: its program.
        shape: of the maps in front of it, in its layout.
    """
    graph = OnnxGraph(DEFAULT_OPSET, "fp16")
    x, y = graph.reserve("x"), graph.reserve("y")
    constants = {name: Deferred.zeros(*matrix.shape) for name, matrix in lowered.matrices.items()}
    emit_steps(graph, "cell", lowered.steps, constants, x, y)
    graph.written(y)
    machine = ShapeMachine({name: matrix.shape for name, matrix in lowered.matrices.items()})
    dtype = str(graph.dtype)
    out = run(lowered.steps, shape, machine)
    return _built(graph, (TensorSpec(x, dtype, shape),), (TensorSpec(y, dtype, out),), {}, {})


def _check_computation(network: fx.GraphModule) -> None:
    """The file is made from the graph: refuse a network that computes something else."""
    path = next((path for path, module in network.named_modules() if is_replaced(module)), None)
    code = getattr(type(network).forward, "__code__", None)
    if path is not None or code is None or not code.co_filename.startswith(_GENERATED):
        raise PassRefusedError(
            f"{path or 'this network'}: its forward was replaced after prepare, and the file would not have it; put "
            "it into the network's class and prepare that"
        )
    if network.code != network.graph.python_code(root_module="self").src:
        raise PassRefusedError("this network's graph was changed, its code was not; call network.recompile() first")


def _named(results: Mapping[str, fx.Node], names: Sequence[str] | None) -> dict[str, fx.Node]:
    """The results under the names that were asked for."""
    chosen: list[Any] = list(results) if names is None else list(items_of(names) or ())
    if (
        not all(isinstance(name, str) and name.isidentifier() for name in chosen)
        or len(chosen) != len(results)
        or len({INPUT, *chosen}) <= len(chosen)
    ):
        raise UsageError(
            f"outputs {shown(chosen)}: expected {counted(len(results), 'name')}, each another, of letters, digits and "
            f"'_', none {INPUT!r}"
        )
    if any(node.op in ("placeholder", "get_attr") for node in results.values()):
        raise PassRefusedError("the network's output is nothing that it computes; expected one computed tensor")
    return dict(zip(chosen, results.values(), strict=True))


def _emit(
    network: fx.GraphModule, results: Mapping[str, fx.Node], graph: OnnxGraph
) -> tuple[OnnxGraph, dict[str, str]]:
    """All nodes, and which of their values can be compared with the original network."""
    values: dict[fx.Node, str] = {}
    points: dict[str, str] = {}
    for name in (INPUT, *results):
        graph.reserve(name)
    given = {node: name for name, node in results.items()}
    for node in network.graph.nodes:
        if node.op == "placeholder":
            values[node] = INPUT
        elif node.op == "get_attr":
            values[node] = graph.constant(readable(str(node.target)), _attribute(network, str(node.target)))
        elif node.op != "output":
            name = given.get(node) or graph.reserve(_value_name(node))
            module = module_of(network, node)
            # A layer of torch's own that was put into the prepared network since.
            module = module and (frozen_form(module) or module)
            inputs = [values[source] for source in node.args if isinstance(source, fx.Node)]
            emitter_for(node, module)(graph, node, module, inputs, name)
            values[node] = name
            if node.meta.get(ORIGIN) and name not in results:
                points[graph.storage(name)] = node.meta[ORIGIN]
    for name in results:
        graph.written(name)
    return graph, points


def _value_name(node: fx.Node) -> str:
    if node.op == "call_module":
        return readable(str(node.target))
    return readable(node.meta.get(ORIGIN) or node.name)


def _attribute(network: fx.GraphModule, target: str) -> Deferred:
    owner, _, name = target.rpartition(".")
    return Deferred.of(getattr(network.get_submodule(owner), name))


def _built(
    graph: OnnxGraph,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    points: Mapping[str, str],
    metadata: Mapping[str, str],
) -> Built:
    opset = helper.make_opsetid("", graph.opset)
    vendors = [helper.make_opsetid(DOMAIN, 1)] if any(node.domain == DOMAIN for node in graph.nodes) else []
    model = helper.make_model(
        helper.make_graph(graph.nodes, "neonext", [_value(s) for s in inputs], [_value(s) for s in outputs]),
        opset_imports=[opset, *vendors],
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="neonext-ascend",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return Built(model, tuple(graph.initializers.values()), inputs, outputs, points)


def _value(spec: TensorSpec) -> TensorProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, element, list(spec.shape))
