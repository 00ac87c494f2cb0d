"""Write a prepared network as an ONNX file, at exactly the opset that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper
from torch import fx

from neonext_ascend._version import __version__
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.artifacts.vendor_operators import DOMAIN
from neonext_ascend.errors import PassRefusedError, UsageError
from neonext_ascend.exporters.onnx_file import mixed
from neonext_ascend.exporters.onnx_file.emit import emitter_for
from neonext_ascend.exporters.onnx_file.graph import OnnxGraph
from neonext_ascend.exporters.onnx_file.names import readable
from neonext_ascend.exporters.onnx_file.stream import PROTOBUF_LIMIT, WrittenFile, write_model
from neonext_ascend.models.arguments import file_path, one_of, shown, whole_number
from neonext_ascend.passes.deployed import ORIGIN, SHAPE
from neonext_ascend.passes.frozen.deferred import Deferred
from neonext_ascend.passes.graph import frozen_form, module_of, result_of
from neonext_ascend.passes.pipeline import INPUT_SHAPE
from neonext_ascend.passes.plain import is_replaced, unwrapped
from neonext_ascend.passes.shapes import propagate_shapes
from neonext_ascend.spec import BATCH, GELUS, INPUT, NUMPY_DTYPES, OUTPUT, Dtype, GeluForm, TensorSpec

# ATC's parser registers standard operators for 8 to 18; below 11 the emitted attributes would differ.
OPSETS = range(11, 19)
DEFAULT_OPSET = 17
_MOST_ROWS = 2**31 - 1
_GENERATED = "<eval_with_key>"  # the file of code that torch.fx makes from a graph


@dataclass(frozen=True)
class OnnxArtifact:
    """What was written.

    Args:
        files: the ONNX file, then its external data if any.
        opset, dtype: as asked for.
        inputs, outputs: name, dtype and shape.
        points: tensor in the file -> module path in the original network whose output it equals.
        checksums: constant in the file -> CRC-32 of its bytes.
    """

    files: tuple[WrittenFile, ...]
    opset: int
    dtype: Dtype
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    points: Mapping[str, str]
    checksums: Mapping[str, str]


def export_onnx(
    network: fx.GraphModule,
    path: str | Path,
    *,
    batch_size: int | None = 1,
    opset: int = DEFAULT_OPSET,
    dtype: Dtype = "fp32",
    keep_fp32: Sequence[str] = (),
    gelu: GeluForm = "erf",
    metadata: Mapping[str, str] | None = None,
    external_data_above: int = PROTOBUF_LIMIT,
) -> OnnxArtifact:
    """Write ``network`` to ``path``; the same call gives the same bytes.

    Args:
        network: from :func:`neonext_ascend.passes.prepare`.
        path: of the file; it appears whole or not at all.
        batch_size: N of input ``image (N, C, H, W)``; ``None`` for a dynamic batch.
        opset: 11 to 18 (``ai.onnx``).
        dtype: of weights, input and output.
        keep_fp32: names of nodes of an fp16 file that compute in fp32, with a Cast on each side.
        gelu: ``erf``, exact in five nodes; ``tanh``, its tanh form in eight; ``npu``, the vendor's ``NPUGeluV2``.
        metadata: written as ``metadata_props``.
        external_data_above: bytes; a larger file keeps its tensors in ``<name>.data``.

    Raises:
        UsageError: a path, opset, batch size, dtype or metadata that cannot be.
        PassRefusedError: a network that was not prepared, a layer without an ONNX form, or weights without numbers.
        FileAccessError: the file cannot be written.
    """
    path = file_path(path, "path")
    opset = check_opset(opset)
    rows: int | str = BATCH if batch_size is None else whole_number(batch_size, "batch size", most=_MOST_ROWS)
    one_of(dtype, NUMPY_DTYPES, "dtype")
    one_of(gelu, GELUS, "gelu")
    external_data_above = whole_number(external_data_above, "external_data_above", least=0)
    metadata = _texts(metadata)
    prepared = unwrapped(network)
    if not isinstance(prepared, fx.GraphModule) or INPUT_SHAPE not in prepared.meta:
        raise PassRefusedError("this network was not prepared; call neonext_ascend.passes.prepare first")
    _check_computation(prepared)
    shape = prepared.meta[INPUT_SHAPE]
    graph, points = _emit(prepared, shape, OnnxGraph(opset, dtype, gelu))
    if keep_fp32:
        mixed.keep_fp32(graph, keep_fp32, [OUTPUT, *points])
    numpy_dtype = NUMPY_DTYPES[dtype]
    inputs = (TensorSpec(INPUT, numpy_dtype, (rows, *shape[1:])),)
    outputs = (TensorSpec(OUTPUT, numpy_dtype, (rows, *result_of(prepared).meta[SHAPE][1:])),)
    model = _model(graph, inputs, outputs, metadata)
    with staged(path.parent) as stage:
        written, checksums = write_model(
            stage.folder / path.name, model, list(graph.initializers.values()), external_data_above
        )
        stage.publish(*(file.path.name for file in reversed(written)))
    files = tuple(WrittenFile(path.parent / f.path.name, f.nbytes, f.sha256) for f in written)
    return OnnxArtifact(files, opset, dtype, inputs, outputs, points, checksums)


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


def check_opset(opset: object) -> int:
    """The opset, if it is one that is written.

    Raises:
        UsageError: it is none of :data:`OPSETS`.
    """
    number = whole_number(opset, "opset", least=0)
    if number not in OPSETS:
        raise UsageError(
            f"opset {number}: expected {OPSETS.start} to {OPSETS.stop - 1}, ATC's ONNX parser ends there; "
            f"take {DEFAULT_OPSET}"
        )
    return number


def _emit(network: fx.GraphModule, shape: tuple[int, ...], graph: OnnxGraph) -> tuple[OnnxGraph, dict[str, str]]:
    """All nodes, and which of their values can be compared with the original network."""
    propagate_shapes(network, shape)
    values: dict[fx.Node, str] = {}
    points: dict[str, str] = {}
    graph.reserve(INPUT)
    graph.reserve(OUTPUT)
    result = result_of(network)
    if result.op in ("placeholder", "get_attr"):
        raise PassRefusedError("the network's output is nothing that it computes; expected one computed tensor")
    for node in network.graph.nodes:
        if node.op == "placeholder":
            values[node] = INPUT
        elif node.op == "get_attr":
            values[node] = graph.constant(readable(str(node.target)), _attribute(network, str(node.target)))
        elif node.op != "output":
            name = OUTPUT if node is result else graph.reserve(_value_name(node))
            module = module_of(network, node)
            # A layer of torch's own that was put into the prepared network since.
            module = module and (frozen_form(module) or module)
            inputs = [values[source] for source in node.args if isinstance(source, fx.Node)]
            emitter_for(node, module)(graph, node, module, inputs, name)
            values[node] = name
            if node.meta.get(ORIGIN) and name != OUTPUT:
                points[graph.storage(name)] = node.meta[ORIGIN]
    graph.written(values[result])
    return graph, points


def _value_name(node: fx.Node) -> str:
    if node.op == "call_module":
        return readable(str(node.target))
    return readable(node.meta.get(ORIGIN) or node.name)


def _texts(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    given: Any = {} if metadata is None else metadata  # what a caller without a type checker may give
    try:
        return {str.encode(name).decode(): str.encode(text).decode() for name, text in given.items()}
    except Exception:  # no mapping, no text, or half a character
        raise UsageError(f"metadata {shown(given)}: expected names and values as text") from None


def _attribute(network: fx.GraphModule, target: str) -> Deferred:
    owner, _, name = target.rpartition(".")
    return Deferred.of(getattr(network.get_submodule(owner), name))


def _model(
    graph: OnnxGraph,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    metadata: Mapping[str, str],
) -> ModelProto:
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
    return model


def _value(spec: TensorSpec) -> TensorProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, element, list(spec.shape))
